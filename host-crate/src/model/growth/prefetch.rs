//! Germinations that are made ready ahead: what needs no tensor is done on another thread.
//!
//! Off the training thread nothing touches a tensor or a generator. A germination that is made ready lands at
//! the edge of the next epoch, whether its thread was quick or slow: a run is the same each time.

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
    /// Begins a germination: the slot is reserved, both entries are found, and their configurations are being
    /// read on another thread.
    pub(super) fn prefetch(
        &mut self,
        index: usize,
        germinate: &Germinate,
        question: &Question,
        registry: &Registry,
    ) -> Result<Executed, CommandError> {
        let begun = self.begin(index, germinate, registry);
        // There is nothing in the optimizer yet.
        let worker = self.vote(index, question, begun, &mut (), |_| Transaction::default())?;
        self.growth.reserve(Prefetch { germinate: germinate.clone(), index, worker });
        Ok(Executed::Prefetching)
    }

    /// Refuses a slot for which a germination is being made ready.
    pub(super) fn unreserved(&self, index: usize) -> Result<(), CommandError> {
        let Some(seed_id) = self.growth.reserved_for(index) else { return Ok(()) };
        let text = format!("slot `{}` is reserved for seed `{seed_id}`", self.slots[index].name());
        Err(Refusal::new(RefusalCode::SlotOccupied, text).into())
    }

    fn begin(
        &self,
        index: usize,
        germinate: &Germinate,
        registry: &Registry,
    ) -> Result<Worker, CommandError> {
        self.unreserved(index)?;
        self.slots[index].lifecycle().clone().germinate(self.unbuilt(germinate))?;
        self.work_ahead(index, germinate, registry)
    }

    /// Goes on with germinations that were being made ready when a state was kept.
    pub(in crate::model) fn prepare_prefetches(
        &self,
        states: &[PrefetchState],
        registry: &Registry,
    ) -> Result<Vec<Prefetch>, StateError> {
        let prefetch = |state: &PrefetchState| {
            let (index, germinate) = (self.slots.index_of(&state.slot)?, state.germinate.clone());
            let worker = self.work_ahead(index, &germinate, registry)?;
            Ok(Prefetch { germinate, index, worker })
        };
        let named = |state: &PrefetchState| {
            prefetch(state).map_err(|error: CommandError| StateError::Germination {
                slot: state.slot.clone(),
                error: error.into(),
            })
        };
        states.iter().map(named).collect()
    }

    /// Begins the part of a germination that needs no tensor.
    fn work_ahead(
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

    /// Builds the seeds of all germinations that were made ready, in the order in which they were asked for,
    /// and says what came of each. Call it at the edge of an epoch; it waits for threads that are still at
    /// work.
    pub fn land(
        &mut self,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Vec<(Command, Result<Executed, CommandError>)> {
        let waiting = self.growth.take_prefetches();
        let mut landed = Vec::with_capacity(waiting.len());
        for Prefetch { germinate, index, worker } in waiting {
            // A thread that panicked found nothing: the germination itself will.
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
            self.journal(&command, result.as_ref().err());
            landed.push((command, result));
        }
        landed
    }
}
