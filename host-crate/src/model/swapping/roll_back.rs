//! Taking a build on trial back.

use super::exchange::{ReadyExchange, WayBack};
use super::state::Recovered;
use crate::graft::SeedSlot;
use crate::lifecycle::EventKind;
use crate::model::{CommandError, ModelError, MorphogeneticModel};
use kasmina_registry::{Committed, Entry, Registry};
use kasmina_torch_ext::{Change, ParameterSink};

impl MorphogeneticModel {
    /// Takes a build on trial back: its blends, their variables and the optimizer's state are as they were
    /// when it came, and alpha goes on from where it is.
    ///
    /// The training step that failed is undone first: a blend that is built again copies the buffers that its
    /// step began with. That moves the living model before anything is committed; if the rollback then fails,
    /// the model is as it was before that step.
    ///
    /// # Errors
    /// If the optimizer refuses, the step that failed cannot be undone, or a blend cannot be built again; the
    /// build is then on trial as before.
    pub fn roll_back(
        &mut self,
        reason: &str,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Option<Recovered>, ModelError> {
        let Some(trial) = &self.swapping.on_trial else { return Ok(None) };
        // Everything that can fail, beside the living model.
        let restore = self.close_trials(sink, |owner| Change::Restore { owner })?;
        let leaves = self.blends_that_leave(&trial.committed);
        if let Err(error) = self.undo_step(&leaves) {
            restore.abort(sink);
            return Err(error);
        }
        let substitutes = match self.prepare_substitutes(&leaves, sink) {
            Ok(substitutes) => substitutes,
            Err(error) => {
                restore.abort(sink);
                return Err(error.into());
            }
        };

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

    /// How each slot's blend is affected by a rollback of this build.
    fn blends_that_leave(&self, committed: &Committed) -> Vec<Leaves> {
        self.slots
            .iter()
            .map(|slot| {
                if slot.is_on_trial() {
                    return Leaves::ForTheOneBefore;
                }
                let blend = slot.entries().map(|(_, blend)| blend).filter(|blend| self.swapping.tries(blend));
                blend
                    .and_then(|blend| committed.instead_of(blend))
                    .map_or(Leaves::No, |entry| Leaves::For(entry.clone()))
            })
            .collect()
    }

    /// Blends that germinated during the trial were never on another build; they move to the one before it.
    fn prepare_substitutes(
        &self,
        leaves: &[Leaves],
        sink: &mut dyn ParameterSink,
    ) -> Result<Vec<ReadyExchange>, CommandError> {
        let mut ready = Vec::new();
        for (index, leaves) in leaves.iter().enumerate() {
            let Leaves::For(entry) = leaves else { continue };
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

    /// Undoes what the failed half of the present step has moved. The state bytes of a blend that leaves are
    /// not put back.
    fn undo_step(&mut self, leaves: &[Leaves]) -> Result<(), ModelError> {
        let Some(begin) = self.swapping.on_trial.as_ref().and_then(|trial| trial.before.as_ref()) else {
            return Ok(());
        };
        begin.snapshot.restore(&mut self.slots, |index| !matches!(leaves[index], Leaves::No))?;
        let _ = self.slots.split_off(&begin.marks);
        Ok(())
    }
}

/// What a rollback does to the blend of a slot.
enum Leaves {
    /// The blend stays.
    No,
    /// The blend before the trial takes its place again.
    ForTheOneBefore,
    /// It germinated during the trial; this entry is built in its place.
    For(Entry),
}

fn abort(exchanges: Vec<ReadyExchange>, sink: &mut dyn ParameterSink) {
    for ready in exchanges {
        ready.transaction.abort(sink);
    }
}
