//! The trial of a build: its steps are watched, and in the end it stays.

use super::snapshot::Snapshot;
use super::state::{OnTrial, StepBegin};
use crate::graft::{SeedSlot, blend_group};
use crate::lifecycle::EventKind;
use crate::model::growth::Transaction;
use crate::model::{CommandError, ModelError, MorphogeneticModel};
use kasmina_torch_ext::{Change, ParameterSink, SinkError};

impl MorphogeneticModel {
    /// Whether a build is on trial: its steps are watched, and not recorded.
    pub fn is_on_trial(&self) -> bool {
        self.swapping.is_on_trial()
    }

    /// Remembers where a training step begins that a build on trial may fail in.
    pub(in crate::model) fn begin_trial_step(&mut self) -> Result<(), ModelError> {
        let Some(trial) = &mut self.swapping.on_trial else { return Ok(()) };
        let snapshot = Snapshot::of(&self.network, &self.slots)?;
        trial.before = Some(StepBegin { marks: self.slots.marks(), snapshot });
        Ok(())
    }

    /// Counts a step that a build on trial has held; after the last one it stays.
    /// [`Stepper`](crate::model::Stepper) calls it.
    ///
    /// # Errors
    /// If the optimizer refuses.
    pub(in crate::model) fn count_trial(&mut self, sink: &mut dyn ParameterSink) -> Result<(), ModelError> {
        let Some(trial) = &mut self.swapping.on_trial else { return Ok(()) };
        // The step has ended: a failure after it undoes nothing of it.
        trial.before = None;
        let left = self.slots.iter_mut().map(SeedSlot::count_trial_step).max().unwrap_or(0);
        if left == 0 { Ok(self.confirm(sink)?) } else { Ok(()) }
    }

    /// Ends the trial of what was swapped in: it stays.
    ///
    /// # Errors
    /// If the optimizer refuses; the trial goes on then.
    pub fn confirm(&mut self, sink: &mut dyn ParameterSink) -> Result<(), CommandError> {
        let closing = self.close_trials(sink, |owner| Change::Settle { owner })?;
        self.end_trials(closing, sink);
        Ok(())
    }

    /// What was on trial stays. Cannot fail.
    pub(super) fn end_trials(&mut self, closing: Transaction, sink: &mut dyn ParameterSink) {
        closing.commit(sink);
        self.slots.iter_mut().for_each(SeedSlot::end_trial);
        if let Some(trial) = self.swapping.on_trial.take() {
            self.tell_confirmed(&trial);
        }
    }

    pub(super) fn tell_confirmed(&mut self, trial: &OnTrial) {
        let plugin = trial.committed.to().name.clone();
        let generation = trial.committed.to().generation().unwrap_or_default().to_owned();
        self.events.tell(EventKind::PluginConfirmed { plugin, generation });
    }

    /// Prepares the end of every trial in the optimizer.
    pub(super) fn close_trials(
        &self,
        sink: &mut dyn ParameterSink,
        change: impl Fn(String) -> Change,
    ) -> Result<Transaction, SinkError> {
        let exchanged = self.slots.iter().filter(|slot| slot.has_exchanged_parameters());
        Transaction::prepare(sink, exchanged.map(|slot| change(blend_group(slot.name()))))
    }
}
