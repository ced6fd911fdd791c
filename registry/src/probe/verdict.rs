//! What the end of a job means.

use super::protocol::Answer;
use crate::child::Outcome;

/// The answer of a child, or how its process ended, in words.
pub(super) fn verdict(outcome: Outcome) -> Result<Answer, String> {
    match outcome {
        Outcome::Answered { answer, .. } => {
            serde_json::from_value(answer).map_err(|e| format!("it gave an answer that cannot be read ({e})"))
        }
        Outcome::Crashed { how, said } => {
            let last = said.lines().rfind(|l| !l.trim().is_empty());
            Err(last.map_or_else(|| how.clone(), |last| format!("{how}; its last words: {}", last.trim())))
        }
        Outcome::TimedOut { after } => Err(format!("it did not end within {} seconds", after.as_secs())),
    }
}
