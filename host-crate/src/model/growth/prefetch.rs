//! Prefetched germinations: the plugins check their configurations on another thread.
//!
//! Only the training thread uses tensors and generators. A prefetched germination is executed at the end of
//! the next epoch, however long its thread takes, so that runs are reproducible.

use super::build_seed::{config_text, resolve};
use super::state::{Prefetch, PrefetchState, Worker};
use super::transaction::Transaction;
use super::vote::Question;
use crate::lifecycle::{Refusal, RefusalCode};
use crate::model::{Command, CommandError, Executed, Germinate, MorphogeneticModel};
use crate::state::StateError;
use kasmina_registry::Registry;
use kasmina_torch_ext::ParameterSink;

impl MorphogeneticModel {
    /// Starts a prefetched germination: reserves the slot, resolves both entries, and checks their
    /// configurations on another thread.
    pub(super) fn prefetch(
        &mut self,
        index: usize,
        germinate: &Germinate,
        question: &Question,
        registry: &Registry,
    ) -> Result<Executed, CommandError> {
        let worker = self.start_prefetch(index, germinate, registry);
        // The optimizer has prepared nothing yet.
        let worker = self.vote(index, question, worker, &mut (), |_| Transaction::default())?;
        self.growth.reserve(Prefetch { germinate: germinate.clone(), index, worker });
        Ok(Executed::Prefetching)
    }

    /// Refuses a slot that a prefetched germination has reserved.
    pub(super) fn refuse_reserved(&self, index: usize) -> Result<(), CommandError> {
        let Some(seed_id) = self.growth.reserved_for(index) else { return Ok(()) };
        let text = format!("slot `{}` is reserved for seed `{seed_id}`", self.slots[index].name());
        Err(Refusal::new(RefusalCode::SlotOccupied, text).into())
    }

    /// Checks whether the germination is possible now, and starts its worker thread.
    fn start_prefetch(
        &self,
        index: usize,
        germinate: &Germinate,
        registry: &Registry,
    ) -> Result<Worker, CommandError> {
        self.refuse_reserved(index)?;
        self.slots[index].lifecycle().clone().germinate(self.planned_germination(germinate))?;
        self.spawn_config_check(index, germinate, registry)
    }

    /// Starts the prefetched germinations of a saved state again.
    pub(in crate::model) fn prepare_prefetches(
        &self,
        states: &[PrefetchState],
        registry: &Registry,
    ) -> Result<Vec<Prefetch>, StateError> {
        let prefetch = |state: &PrefetchState| {
            let (index, germinate) = (self.slots.index_of(&state.slot)?, state.germinate.clone());
            let worker = self.spawn_config_check(index, &germinate, registry)?;
            Ok(Prefetch { germinate, index, worker })
        };
        let with_slot = |state: &PrefetchState| {
            prefetch(state).map_err(|error: CommandError| StateError::Germination {
                slot: state.slot.clone(),
                error: error.into(),
            })
        };
        states.iter().map(with_slot).collect()
    }

    /// Starts a thread in which blueprint and blend check their configurations.
    fn spawn_config_check(
        &self,
        index: usize,
        germinate: &Germinate,
        registry: &Registry,
    ) -> Result<Worker, CommandError> {
        let (blueprint, blend) = resolve(germinate, self.slots[index].spec().topology, registry)?;
        let (seed_config, blend_config) =
            (config_text(&germinate.blueprint_config), config_text(&germinate.blend_config));
        let work = move || {
            blueprint.check_config(&seed_config)?;
            blend.check_config(&blend_config)
        };
        std::thread::Builder::new()
            .name("kasmina-prefetch".to_owned())
            .spawn(work)
            .map_err(|error| CommandError::Thread(error.into()))
    }

    /// Executes all prefetched germinations, in the order of their commands, and returns each command with
    /// its result. Call it at the end of an epoch; it waits for worker threads that have not finished.
    pub fn land(
        &mut self,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Vec<(Command, Result<Executed, CommandError>)> {
        let waiting = self.growth.take_prefetches();
        let mut landed = Vec::with_capacity(waiting.len());
        for Prefetch { germinate, index, worker } in waiting {
            // If the thread panicked, the germination itself finds the cause.
            let ready = worker.join().unwrap_or(Ok(()));
            let command = Command::Germinate(germinate.clone());
            let question = Question::of(&command, &self.slots[index]);
            let result = match ready {
                Ok(()) => self.germinate(index, &germinate, &question, registry, sink),
                Err(error) => {
                    let nothing = |_: Executed| Transaction::default();
                    self.vote(index, &question, Err(error.into()), sink, nothing)
                }
            };
            self.push_command_event(&command, result.as_ref().err());
            landed.push((command, result));
        }
        landed
    }
}
