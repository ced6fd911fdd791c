//! Taking a build on trial back.

use super::exchange::{ReadyExchange, WayBack};
use super::state::Recovered;
use crate::graft::SeedSlot;
use crate::lifecycle::EventKind;
use crate::model::{CommandError, ModelError, MorphogeneticModel};
use kasmina_registry::{Committed, Registry};
use kasmina_torch_ext::{Change, ParameterSink};

impl MorphogeneticModel {
    /// Takes a build on trial back: its blends, their variables and the optimizer's state are as they were when it came,
    /// and alpha goes on from where it is.
    ///
    /// # Errors
    /// If the optimizer refuses, a blend cannot be built again, or the step that failed cannot be put back; the build is
    /// then on trial as before.
    pub fn roll_back(
        &mut self,
        reason: &str,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Option<Recovered>, ModelError> {
        let Some(trial) = &self.swapping.on_trial else { return Ok(None) };
        // Everything that can fail, beside the living model.
        let restore = self.close_trials(sink, |owner| Change::Restore { owner })?;
        let substitutes = match self.prepare_substitutes(&trial.committed, sink) {
            Ok(substitutes) => substitutes,
            Err(error) => {
                restore.abort(sink);
                return Err(error.into());
            }
        };
        if let Err(error) = self.put_step_back(&substitutes) {
            restore.abort(sink);
            abort(substitutes, sink);
            return Err(error);
        }

        // From here on nothing can fail.
        restore.commit(sink);
        self.slots.iter_mut().for_each(SeedSlot::end_trial_with_earlier_blend);
        self.restructured();
        for ready in substitutes {
            self.substitute(ready, sink);
        }
        let Some(trial) = self.swapping.on_trial.take() else { return Ok(None) };
        registry.revert(&trial.committed);
        let plugin = trial.committed.to().name.clone();
        let generation = |info: Option<&str>| info.unwrap_or("none").to_owned();
        self.events.tell(EventKind::PluginRolledBack {
            plugin: plugin.clone(),
            from_generation: generation(trial.committed.to().generation()),
            to_generation: generation(trial.committed.from().and_then(|info| info.generation())),
            reason: reason.to_owned(),
        });
        Ok(Some(Recovered::RolledBack { plugin, reason: reason.to_owned() }))
    }

    /// Blends that germinated during the trial were never on another build; they move to the one before it.
    fn prepare_substitutes(
        &self,
        committed: &Committed,
        sink: &mut dyn ParameterSink,
    ) -> Result<Vec<ReadyExchange>, CommandError> {
        let mut ready = Vec::new();
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            let Some((_, blend)) = slot.entries().filter(|(_, blend)| self.swapping.tries(blend)) else {
                continue;
            };
            if slot.is_on_trial() {
                continue;
            }
            let Some(entry) = committed.instead_of(blend) else { continue };
            match self.prepare_exchange(index, entry, WayBack::None, sink) {
                Ok(exchange) => ready.push(exchange),
                Err(error) => {
                    abort(ready, sink);
                    return Err(error);
                }
            }
        }
        Ok(ready)
    }

    /// Undoes what the failed half of the present step has moved. The state of blends that leave is not theirs to come.
    fn put_step_back(&mut self, substitutes: &[ReadyExchange]) -> Result<(), ModelError> {
        let Some(begin) = self.swapping.on_trial.as_ref().and_then(|trial| trial.before.as_ref()) else {
            return Ok(());
        };
        let leaves: Vec<bool> = (0..self.slots.len())
            .map(|index| {
                self.slots[index].is_on_trial() || substitutes.iter().any(|ready| ready.index == index)
            })
            .collect();
        let _ = self.slots.split_off(&begin.marks);
        begin.snapshot.restore(&mut self.slots, |index| leaves[index])
    }
}

fn abort(exchanges: Vec<ReadyExchange>, sink: &mut dyn ParameterSink) {
    for ready in exchanges {
        ready.transaction.abort(sink);
    }
}
