//! The stages and the legal steps between them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a seed stands. The integer codes are stable and serialised by whoever stores numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[repr(u8)]
pub enum Stage {
    /// Never seen in a living slot.
    Unknown = 0,
    /// No seed is in the slot.
    Dormant = 1,
    /// Built and probed, not yet run.
    Germinated = 2,
    /// Learning behind the straight-through estimator.
    Training = 3,
    /// Alpha is on its way.
    Blending = 4,
    /// Compared with the host at its alpha.
    Shadowing = 5,
    /// Alpha is at its target; the seed waits for a decision to fossilize or prune it.
    Holding = 6,
    /// Part of the network for good.
    Fossilized = 7,
    /// Removed; never seen at rest.
    Pruned = 8,
    /// Cooling down after a prune.
    Embargoed = 9,
    /// The last epoch of a cooldown.
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

    /// The stage that goes by this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == name)
    }

    /// Whether the seed runs in forward. In every other stage forward is the identity.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Training | Self::Blending | Self::Shadowing | Self::Holding | Self::Fossilized)
    }

    /// Whether the step is one of the table's; settings may forbid some of them.
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
