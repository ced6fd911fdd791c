//! The trial of a swapped build, and its confirmation.

use super::snapshot::Snapshot;
use super::state::{OnTrial, StepBegin};
use crate::graft::{SeedSlot, blend_group};
use crate::lifecycle::EventKind;
use crate::model::growth::Transaction;
use crate::model::{CommandError, ModelError, MorphogeneticModel};
use kasmina_torch_ext::{Change, ParameterSink, SinkError};

impl MorphogeneticModel {
    /// Whether a build is on trial. Training steps are not captured meanwhile.
    pub fn is_on_trial(&self) -> bool {
        self.swapping.is_on_trial()
    }

    /// Takes a snapshot at the beginning of a training step, if a build is on trial.
    pub(in crate::model) fn begin_trial_step(&mut self) -> Result<(), ModelError> {
        let Some(trial) = &mut self.swapping.on_trial else { return Ok(()) };
        let snapshot = Snapshot::of(&self.network, &self.slots)?;
        trial.before = Some(StepBegin { marks: self.slots.marks(), snapshot });
        Ok(())
    }

    /// Counts a completed step of a trial; confirms the build after the last one. Called by
    /// [`Stepper`](crate::model::Stepper).
    ///
    /// # Errors
    /// If the optimizer refuses.
    pub(in crate::model) fn count_trial(&mut self, sink: &mut dyn ParameterSink) -> Result<(), ModelError> {
        let Some(trial) = &mut self.swapping.on_trial else { return Ok(()) };
        // The step has ended, so a later failure must not undo it.
        trial.before = None;
        let left = self.slots.iter_mut().map(SeedSlot::count_trial_step).max().unwrap_or(0);
        if left == 0 { Ok(self.confirm(sink)?) } else { Ok(()) }
    }

    /// Ends the trial and keeps the new build. Does nothing if no build is on trial.
    ///
    /// # Errors
    /// If the optimizer refuses; the trial then continues.
    pub fn confirm(&mut self, sink: &mut dyn ParameterSink) -> Result<(), CommandError> {
        let closing = self.close_trials(sink, |owner| Change::Settle { owner })?;
        self.end_trials(closing, sink);
        Ok(())
    }

    /// Ends all trials and keeps the new blends. Cannot fail.
    pub(super) fn end_trials(&mut self, closing: Transaction, sink: &mut dyn ParameterSink) {
        closing.commit(sink);
        self.slots.iter_mut().for_each(SeedSlot::end_trial);
        if let Some(trial) = self.swapping.on_trial.take() {
            self.push_confirmed_event(&trial);
        }
    }

    /// Adds the event of a confirmed build.
    pub(super) fn push_confirmed_event(&mut self, trial: &OnTrial) {
        let plugin = trial.committed.to().name.clone();
        let generation = trial.committed.to().generation().unwrap_or_default().to_owned();
        self.events.push_for_model(EventKind::PluginConfirmed { plugin, generation });
    }

    /// Prepares the end of every trial in the optimizer, by the change that `change` returns for an owner.
    pub(super) fn close_trials(
        &self,
        sink: &mut dyn ParameterSink,
        change: impl Fn(String) -> Change,
    ) -> Result<Transaction, SinkError> {
        let exchanged = self.slots.iter().filter(|slot| slot.has_exchanged_parameters());
        Transaction::prepare(sink, exchanged.map(|slot| change(blend_group(slot.name()))))
    }
}
