//! The vote of the ranks on one change, which all ranks make or none.

use super::transaction::Transaction;
use crate::consensus::{Action, Ballot};
use crate::graft::SeedSlot;
use crate::lifecycle::Stage;
use crate::model::{Command, CommandError, MorphogeneticModel};
use kasmina_torch_ext::ParameterSink;
use serde::Serialize;

/// The decision about a slot that the ranks vote on.
pub(in crate::model) struct Question {
    pub(in crate::model) action: Action,
    /// The decision in full, as text; ranks compare its hash.
    pub(in crate::model) subject: String,
    /// Id of the seed that is to germinate; `None` for any other decision.
    pub(in crate::model) new_seed_id: Option<String>,
}

impl Question {
    /// Returns the question whether to execute a command in a slot.
    pub(in crate::model) fn of(command: &Command, slot: &SeedSlot) -> Self {
        let action = match command {
            Command::Germinate(_) => Action::Germinate,
            Command::Advance { .. } => {
                slot.lifecycle().next_gate().map_or(Action::Nothing, |(gate, _)| Action::Gate(gate))
            }
            Command::SetAlphaTarget { .. } => Action::SetAlphaTarget,
            Command::SchedulePrune { .. } => Action::SchedulePrune,
            Command::Prune { .. } => Action::Prune,
            Command::Wait => Action::Nothing,
        };
        let new_seed_id = match command {
            Command::Germinate(germinate) => Some(germinate.seed_id.clone()),
            _ => None,
        };
        Self { action, subject: subject_text(command), new_seed_id }
    }
}

/// Returns a subject as text: equal subjects have equal texts.
pub(in crate::model) fn subject_text(subject: &impl Serialize) -> String {
    // If a subject cannot be serialised, the ranks still compare the rest of the ballot.
    serde_json::to_string(subject).unwrap_or_default()
}

impl MorphogeneticModel {
    /// Votes on a change that this rank has prepared, or could not prepare. Returns the prepared change if
    /// all ranks agree; otherwise aborts its transaction.
    pub(in crate::model) fn vote<T>(
        &mut self,
        index: usize,
        question: &Question,
        ready: Result<T, CommandError>,
        sink: &mut dyn ParameterSink,
        transaction: impl FnOnce(T) -> Transaction,
    ) -> Result<T, CommandError> {
        let ballot = self.ballot(index, question, ready.is_ok());
        // An error of the vote takes precedence over this rank's own, so that all ranks report the same.
        let (ready, refused) = match (ready, self.agree_on(ballot)) {
            (Ok(ready), Ok(true)) => return Ok(ready),
            (Ok(ready), Ok(false)) => (Some(ready), CommandError::Vetoed),
            (Ok(ready), Err(error)) => (Some(ready), error),
            (Err(_), Err(error)) | (Err(error), Ok(_)) => (None, error),
        };
        ready.map(transaction).unwrap_or_default().abort(sink);
        Err(refused)
    }

    /// Returns the error of a request for an unknown slot. Votes first, because another rank may know the
    /// slot and would wait for this rank's vote.
    pub(in crate::model) fn decline(
        &mut self,
        slot: &str,
        subject: &impl Serialize,
        error: CommandError,
    ) -> CommandError {
        let ballot = Ballot {
            step: self.telemetry.step(),
            slot: slot.to_owned(),
            seed_id: None,
            from: Stage::Unknown,
            action: Action::Nothing,
            subject: subject_text(subject),
            verdict: false,
            able: true,
        };
        self.agree_on(ballot).err().unwrap_or(error)
    }

    /// Returns this rank's ballot on a question about a slot.
    pub(in crate::model) fn ballot(&self, index: usize, question: &Question, verdict: bool) -> Ballot {
        let slot = &self.slots[index];
        let present = slot.lifecycle().seed().map(|s| s.seed_id.clone());
        Ballot {
            step: self.telemetry.step(),
            slot: slot.name().to_owned(),
            seed_id: question.new_seed_id.clone().or(present),
            from: slot.lifecycle().stage(),
            action: question.action,
            subject: question.subject.clone(),
            verdict,
            able: true,
        }
    }

    /// Exchanges a ballot with all ranks and returns the common verdict.
    pub(in crate::model) fn agree_on(&mut self, ballot: Ballot) -> Result<bool, CommandError> {
        let verdicts = self.consensus.agree(&[ballot])?;
        Ok(verdicts.first().copied().unwrap_or(false))
    }
}
