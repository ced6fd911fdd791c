//! The vote of the ranks on one change: all make it, or none.

use super::transaction::Transaction;
use crate::consensus::{Act, Ballot};
use crate::graft::SeedSlot;
use crate::lifecycle::Stage;
use crate::model::{Command, CommandError, MorphogeneticModel};
use kasmina_torch_ext::ParameterSink;
use serde::Serialize;

/// What the ranks are asked about a slot.
pub(in crate::model) struct Question {
    pub(in crate::model) act: Act,
    /// Full text of the question; ranks compare its hash.
    pub(in crate::model) subject: String,
    /// The seed that is to come.
    pub(in crate::model) coming: Option<String>,
}

impl Question {
    pub(in crate::model) fn of(command: &Command, slot: &SeedSlot) -> Self {
        let act = match command {
            Command::Germinate(_) => Act::Germinate,
            Command::Advance { .. } => {
                slot.lifecycle().next_gate().map_or(Act::Rest, |(gate, _)| Act::Gate(gate))
            }
            Command::SetAlphaTarget { .. } => Act::SetAlphaTarget,
            Command::SchedulePrune { .. } => Act::SchedulePrune,
            Command::Prune { .. } => Act::Prune,
            Command::Wait => Act::Rest,
        };
        let coming = match command {
            Command::Germinate(germinate) => Some(germinate.seed_id.clone()),
            _ => None,
        };
        Self { act, subject: written(command), coming }
    }
}

/// A subject in full, the same text for the same thing.
pub(in crate::model) fn written(subject: &impl Serialize) -> String {
    // What cannot be written (a NaN among the numbers) is refused on every rank anyway.
    serde_json::to_string(subject).unwrap_or_default()
}

impl MorphogeneticModel {
    /// The vote on what this rank has made ready, or could not: all ranks do it, or none. What was prepared
    /// in the optimizer is let go of where it is not done.
    pub(in crate::model) fn vote<T>(
        &mut self,
        index: usize,
        question: &Question,
        ready: Result<T, CommandError>,
        sink: &mut dyn ParameterSink,
        transaction: impl FnOnce(T) -> Transaction,
    ) -> Result<T, CommandError> {
        let ballot = self.ballot(index, question, ready.is_ok());
        // Ranks that are out of step say so on every rank, also on one that would have refused by itself.
        let (ready, refused) = match (ready, self.agree_on(ballot)) {
            (Ok(ready), Ok(true)) => return Ok(ready),
            (Ok(ready), Ok(false)) => (Some(ready), CommandError::Vetoed),
            (Ok(ready), Err(error)) => (Some(ready), error),
            (Err(_), Err(error)) | (Err(error), Ok(_)) => (None, error),
        };
        ready.map(transaction).unwrap_or_default().abort(sink);
        Err(refused)
    }

    /// Refuses what concerns no slot of this model, with a vote all the same: on another rank it might.
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
            act: Act::Rest,
            subject: written(subject),
            verdict: false,
            able: true,
        };
        self.agree_on(ballot).err().unwrap_or(error)
    }

    /// What this rank says to a question about a slot.
    pub(in crate::model) fn ballot(&self, index: usize, question: &Question, verdict: bool) -> Ballot {
        let slot = &self.slots[index];
        let living = slot.lifecycle().seed().map(|s| s.seed_id.clone());
        Ballot {
            step: self.telemetry.step(),
            slot: slot.name().to_owned(),
            seed_id: question.coming.clone().or(living),
            from: slot.lifecycle().stage(),
            act: question.act,
            subject: question.subject.clone(),
            verdict,
            able: true,
        }
    }

    /// The common verdict on one question.
    pub(in crate::model) fn agree_on(&mut self, ballot: Ballot) -> Result<bool, CommandError> {
        let verdicts = self.consensus.agree(&[ballot])?;
        Ok(verdicts.first().copied().unwrap_or(false))
    }
}
