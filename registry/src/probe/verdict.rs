//! Interprets the outcome of a job.

use super::protocol::Answer;
use crate::child::Outcome;

/// Returns the answer of a child, or a description of how its process ended.
pub(super) fn verdict(outcome: Outcome) -> Result<Answer, String> {
    match outcome {
        Outcome::Answered { answer, .. } => {
            serde_json::from_value(answer).map_err(|e| format!("its answer cannot be parsed ({e})"))
        }
        Outcome::Crashed { how, said } => {
            let last = said.lines().rfind(|l| !l.trim().is_empty());
            Err(last.map_or_else(
                || how.clone(),
                |last| format!("{how}; last line of standard error: {}", last.trim()),
            ))
        }
        Outcome::TimedOut { after } => Err(format!("it did not end within {} seconds", after.as_secs())),
    }
}
