//! Rolling a build on trial back.

use super::exchange::{PreviousBlend, ReadyExchange};
use super::state::Recovered;
use crate::graft::SeedSlot;
use crate::lifecycle::EventKind;
use crate::model::{CommandError, ModelError, MorphogeneticModel};
use kasmina_registry::{Committed, Entry, Registry};
use kasmina_torch_ext::{Change, ParameterSink};

impl MorphogeneticModel {
    /// Rolls back the build on trial: restores the blends, variables and optimizer state from before the
    /// swap, while alpha continues from its present value. Returns `None` if no build is on trial.
    ///
    /// The failed training step is undone first, because a blend that is built again copies the buffers of
    /// the step's beginning. This changes the model before anything is committed; if the rollback then
    /// fails, the model is as it was before that step.
    ///
    /// # Errors
    /// If the optimizer refuses, the failed step cannot be undone, or a blend cannot be built again; the
    /// build is then still on trial.
    pub fn roll_back(
        &mut self,
        reason: &str,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Option<Recovered>, ModelError> {
        let Some(trial) = &self.swapping.on_trial else { return Ok(None) };
        // Everything that can fail comes first.
        let restore = self.close_trials(sink, |owner| Change::Restore { owner })?;
        let rollbacks = self.blend_rollbacks(&trial.committed);
        if let Err(error) = self.undo_step(&rollbacks) {
            restore.abort(sink);
            return Err(error);
        }
        let substitutes = match self.prepare_substitutes(&rollbacks, sink) {
            Ok(substitutes) => substitutes,
            Err(error) => {
                restore.abort(sink);
                return Err(error.into());
            }
        };

        // From here on nothing can fail.
        restore.commit(sink);
        self.slots.iter_mut().for_each(SeedSlot::end_trial_with_earlier_blend);
        self.structure_changed();
        for ready in substitutes {
            self.substitute(ready, sink);
        }
        let Some(trial) = self.swapping.on_trial.take() else { return Ok(None) };
        registry.revert(&trial.committed);
        let plugin = trial.committed.to().name.clone();
        let generation = |info: Option<&str>| info.unwrap_or("none").to_owned();
        self.events.push_for_model(EventKind::PluginRolledBack {
            plugin: plugin.clone(),
            from_generation: generation(trial.committed.to().generation()),
            to_generation: generation(trial.committed.from().and_then(|info| info.generation())),
            reason: reason.to_owned(),
        });
        Ok(Some(Recovered::RolledBack { plugin, reason: reason.to_owned() }))
    }

    /// Returns what a rollback of this build does to the blend of each slot.
    fn blend_rollbacks(&self, committed: &Committed) -> Vec<BlendRollback> {
        self.slots
            .iter()
            .map(|slot| {
                if slot.is_on_trial() {
                    return BlendRollback::RestorePrevious;
                }
                let blend = slot
                    .entries()
                    .map(|(_, blend)| blend)
                    .filter(|blend| self.swapping.is_of_trial_build(blend));
                blend
                    .and_then(|blend| committed.instead_of(blend))
                    .map_or(BlendRollback::Keep, |entry| BlendRollback::Replace(entry.clone()))
            })
            .collect()
    }

    /// Prepares the blends that germinated during the trial to move to the previous build.
    fn prepare_substitutes(
        &self,
        rollbacks: &[BlendRollback],
        sink: &mut dyn ParameterSink,
    ) -> Result<Vec<ReadyExchange>, CommandError> {
        let mut ready = Vec::new();
        for (index, rollback) in rollbacks.iter().enumerate() {
            let BlendRollback::Replace(entry) = rollback else { continue };
            match self.prepare_exchange(index, entry, PreviousBlend::Discarded, sink) {
                Ok(exchange) => ready.push(exchange),
                Err(error) => {
                    abort(ready, sink);
                    return Err(error);
                }
            }
        }
        Ok(ready)
    }

    /// Restores what the failed step has changed, except the state bytes of blends that the rollback
    /// replaces.
    fn undo_step(&mut self, rollbacks: &[BlendRollback]) -> Result<(), ModelError> {
        let Some(begin) = self.swapping.on_trial.as_ref().and_then(|trial| trial.before.as_ref()) else {
            return Ok(());
        };
        begin.snapshot.restore(&mut self.slots, |index| !matches!(rollbacks[index], BlendRollback::Keep))?;
        let _ = self.slots.split_off(&begin.marks);
        Ok(())
    }
}

/// What a rollback does to the blend of a slot.
enum BlendRollback {
    /// The blend stays.
    Keep,
    /// The blend from before the trial is restored.
    RestorePrevious,
    /// It germinated during the trial; a blend of this entry replaces it.
    Replace(Entry),
}

fn abort(exchanges: Vec<ReadyExchange>, sink: &mut dyn ParameterSink) {
    for ready in exchanges {
        ready.transaction.abort(sink);
    }
}
