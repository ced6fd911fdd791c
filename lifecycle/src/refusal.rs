//! Why an operation was refused. A refused operation changes nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a request was refused. The codes are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalCode {
    /// The slot holds no seed.
    EmptySlot,
    /// The slot holds a seed already.
    SlotOccupied,
    /// The operation is not possible in the seed's stage.
    WrongStage,
    /// No such step, or not for this command.
    IllegalTransition,
    /// The seed is on its way out.
    PruneScheduled,
    /// Alpha has not reached its target yet.
    RampInProgress,
    /// A gate did not pass.
    GateFailed,
    /// A number is NaN or infinite.
    NonFinite,
    /// A number is outside its range.
    OutOfRange,
}

impl RefusalCode {
    /// The code as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EmptySlot => "empty_slot",
            Self::SlotOccupied => "slot_occupied",
            Self::WrongStage => "wrong_stage",
            Self::IllegalTransition => "illegal_transition",
            Self::PruneScheduled => "prune_scheduled",
            Self::RampInProgress => "ramp_in_progress",
            Self::GateFailed => "gate_failed",
            Self::NonFinite => "non_finite",
            Self::OutOfRange => "out_of_range",
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An operation that was refused and changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Refusal {
    /// Stable code, for programs.
    pub code: RefusalCode,
    /// One sentence, for people.
    pub message: String,
}

impl Refusal {
    /// A refusal with its code, and what a person reads.
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}
