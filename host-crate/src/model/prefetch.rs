//! Germinations that are made ready ahead: what needs no tensor is done on another thread.
//!
//! Off the training thread nothing touches a tensor or a generator. A germination that is made ready lands at the
//! edge of the next epoch, whether its thread was quick or slow: a run is the same each time.

use super::MorphogeneticModel;
use super::command::{Command, Executed, Germinate};
use super::error::CommandError;
use super::execute::Question;
use super::germinate::{config_text, resolve};
use crate::lifecycle::{Refusal, RefusalCode};
use kasmina_registry::{Registry, RegistryError};
use kasmina_torch_ext::ParameterSink;
use std::thread::JoinHandle;

/// A germination on its way.
#[derive(Debug)]
pub(super) struct Prefetch {
    wish: Germinate,
    /// Which slot it is for.
    pub(super) index: usize,
    worker: JoinHandle<Result<(), RegistryError>>,
}

impl Prefetch {
    /// The seed that is to come.
    pub(super) fn seed_id(&self) -> &str {
        &self.wish.seed_id
    }
}

impl MorphogeneticModel {
    /// Begins a germination: the slot is reserved, both entries are found, and their configurations are being
    /// read on another thread.
    pub(super) fn prefetch(
        &mut self,
        index: usize,
        wish: &Germinate,
        question: &Question,
        registry: &Registry,
    ) -> Result<Executed, CommandError> {
        let begun = self.begin(index, wish, registry);
        // There is nothing in the optimizer yet.
        let worker = self.settle(index, question, begun, &mut (), |_| Vec::new())?;
        self.prefetches.push(Prefetch { wish: wish.clone(), index, worker });
        Ok(Executed::Prefetching)
    }

    /// Refuses a slot for which a germination is being made ready.
    pub(super) fn unreserved(&self, index: usize) -> Result<(), CommandError> {
        let Some(first) = self.prefetches.iter().find(|p| p.index == index) else { return Ok(()) };
        let text = format!("slot `{}` is reserved for seed `{}`", self.slots[index].name(), first.seed_id());
        Err(Refusal::new(RefusalCode::SlotOccupied, text).into())
    }

    fn begin(
        &self,
        index: usize,
        wish: &Germinate,
        registry: &Registry,
    ) -> Result<JoinHandle<Result<(), RegistryError>>, CommandError> {
        self.unreserved(index)?;
        self.slots[index].lifecycle.clone().germinate(self.unbuilt(wish))?;
        let (blueprint, blend) = resolve(wish, self.slots[index].lifecycle.topology(), registry)?;
        let (seed_config, blend_config) =
            (config_text(&wish.blueprint_config), config_text(&wish.blend_config));
        let work = move || {
            blueprint.check_config(&seed_config)?;
            blend.check_config(&blend_config)
        };
        std::thread::Builder::new()
            .name("kasmina-prefetch".to_owned())
            .spawn(work)
            .map_err(|e| CommandError::Thread(e.to_string()))
    }

    /// Builds the seeds of all germinations that were made ready, in the order in which they were asked for, and
    /// says what came of each. Call it at the edge of an epoch; it waits for threads that are still at work.
    pub fn land(
        &mut self,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Vec<(Command, Result<Executed, CommandError>)> {
        let waiting = std::mem::take(&mut self.prefetches);
        let mut landed = Vec::with_capacity(waiting.len());
        for Prefetch { wish, index, worker } in waiting {
            // A thread that panicked found nothing: the germination itself will.
            let ready = worker.join().unwrap_or(Ok(()));
            let command = Command::Germinate(wish.clone());
            let question = Question::of(&command, &self.slots[index]);
            let result = match ready {
                Ok(()) => self.germinate(index, &wish, &question, registry, sink),
                Err(error) => self.settle(index, &question, Err(error.into()), sink, |done: Executed| {
                    drop(done);
                    Vec::new()
                }),
            };
            self.journal(&command, result.as_ref().err());
            landed.push((command, result));
        }
        landed
    }
}
