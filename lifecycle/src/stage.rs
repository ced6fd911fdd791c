//! The stages of a seed and the legal transitions between them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Stage of a seed. The integer codes are stable, for formats that store numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[repr(u8)]
pub enum Stage {
    /// No valid stage; no slot ever has it.
    Unknown = 0,
    /// The slot is empty.
    Dormant = 1,
    /// The seed is built and probed, and does not run yet.
    Germinated = 2,
    /// The seed trains behind the straight-through estimator.
    Training = 3,
    /// Alpha moves to its target.
    Blending = 4,
    /// Alpha is at its target; the seed's features are compared with the host's.
    Shadowing = 5,
    /// Alpha is at its target; the seed waits for a decision to fossilize or prune it.
    Holding = 6,
    /// The seed is part of the network permanently.
    Fossilized = 7,
    /// The seed is removed. The slot leaves this stage in the same operation.
    Pruned = 8,
    /// The slot is in the cooldown after a prune.
    Embargoed = 9,
    /// The slot is in the last epoch of a cooldown.
    Resetting = 10,
}

impl Stage {
    /// All stages in the order of their codes.
    pub const ALL: [Self; 11] = [
        Self::Unknown,
        Self::Dormant,
        Self::Germinated,
        Self::Training,
        Self::Blending,
        Self::Shadowing,
        Self::Holding,
        Self::Fossilized,
        Self::Pruned,
        Self::Embargoed,
        Self::Resetting,
    ];

    /// Stable integer code, as written to telemetry.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Upper-case name, as written to journals: `TRAINING`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Dormant => "DORMANT",
            Self::Germinated => "GERMINATED",
            Self::Training => "TRAINING",
            Self::Blending => "BLENDING",
            Self::Shadowing => "SHADOWING",
            Self::Holding => "HOLDING",
            Self::Fossilized => "FOSSILIZED",
            Self::Pruned => "PRUNED",
            Self::Embargoed => "EMBARGOED",
            Self::Resetting => "RESETTING",
        }
    }

    /// Returns the stage of an upper-case name; `None` for other names.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == name)
    }

    /// Whether the seed runs in forward. In every other stage the slot returns its input.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Training | Self::Blending | Self::Shadowing | Self::Holding | Self::Fossilized)
    }

    /// Whether a transition to `to` is legal. Settings may exclude some legal transitions.
    pub const fn may_become(self, to: Self) -> bool {
        matches!(
            (self, to),
            (Self::Dormant, Self::Germinated)
                | (Self::Germinated, Self::Training | Self::Pruned)
                | (Self::Training, Self::Blending | Self::Pruned)
                | (Self::Blending, Self::Shadowing | Self::Holding | Self::Pruned)
                | (Self::Shadowing, Self::Holding | Self::Pruned)
                | (Self::Holding, Self::Fossilized | Self::Blending | Self::Pruned)
                | (Self::Pruned, Self::Embargoed | Self::Dormant)
                | (Self::Embargoed, Self::Resetting)
                | (Self::Resetting, Self::Dormant)
        )
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
