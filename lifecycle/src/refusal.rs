//! Refusals of operations. A refused operation changes nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Reason of a refusal, as a stable code.
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
    /// The transition does not exist, or this command cannot make it.
    IllegalTransition,
    /// A prune of the seed is scheduled.
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
    /// Serialized name of the code, such as `empty_slot`.
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
    /// Explanation in one sentence, for people.
    pub message: String,
}

impl Refusal {
    /// Creates a refusal from a code and an explanation for people.
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}
