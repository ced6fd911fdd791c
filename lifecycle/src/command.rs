//! The commands: everything that can change structure, as data.

use super::curve::Curve;
use super::stage::Stage;
use super::state::Germination;
use super::task::TempoUnit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A wish of a controller or a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Put a seed into an empty slot.
    Germinate(Germinate),
    /// Go on to the next stage, or to the one named.
    Advance {
        /// Slot, by name or alias.
        slot: String,
        /// Which stage; the next one if not named.
        #[serde(default)]
        target: Option<Stage>,
    },
    /// Send alpha to another target; from HOLDING the seed goes back to BLENDING.
    SetAlphaTarget {
        /// Slot, by name or alias.
        slot: String,
        /// Where alpha goes, in `(0, 1]`.
        target: f64,
        /// Ticks of the seed's clock until it is there; 0 is at once.
        steps: u32,
        /// The curve of this ramp; the seed's own if not named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        curve: Option<Curve>,
    },
    /// Ramp alpha down, then remove the seed.
    SchedulePrune {
        /// Slot, by name or alias.
        slot: String,
        /// Ticks of the seed's clock until it is gone; 0 is at once.
        steps: u32,
        /// Why, for the record.
        reason: String,
    },
    /// Remove the seed.
    Prune {
        /// Slot, by name or alias.
        slot: String,
        /// Why, for the record.
        reason: String,
    },
    /// Do nothing, on purpose.
    Wait,
}

/// Which seed, where, and how it is to be blended in. What is not said about the ramp is the task's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Germinate {
    /// Slot, by name or alias.
    pub slot: String,
    /// The seed's name; must be new in the run if transcripts are to be read.
    pub seed_id: String,
    /// The blueprint's id.
    pub blueprint: String,
    /// Its configuration; `null` for the default.
    #[serde(default)]
    pub blueprint_config: serde_json::Value,
    /// The blend's id.
    pub blend: String,
    /// Its configuration; `null` for the default.
    #[serde(default)]
    pub blend_config: serde_json::Value,
    /// Ticks of the ramp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tempo: Option<u32>,
    /// What a tick is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<TempoUnit>,
    /// Where alpha goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// Do the work that needs no tensor now, on another thread; the seed is built when the model lands it, at the edge of
    /// an epoch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prefetch: bool,
    /// Put it in whole, past every stage and gate: FOSSILIZED at once, alpha at its target. For controls that growth is
    /// compared with.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
}

impl Germinate {
    /// Default configurations and the task's ramp.
    pub fn new(
        slot: impl Into<String>,
        seed_id: impl Into<String>,
        blueprint: impl Into<String>,
        blend: impl Into<String>,
    ) -> Self {
        Self {
            slot: slot.into(),
            seed_id: seed_id.into(),
            blueprint: blueprint.into(),
            blueprint_config: serde_json::Value::Null,
            blend: blend.into(),
            blend_config: serde_json::Value::Null,
            tempo: None,
            unit: None,
            target: None,
            prefetch: false,
            whole: false,
        }
    }
}

impl Command {
    /// The slot that it concerns, as it names it.
    pub fn slot(&self) -> Option<&str> {
        match self {
            Self::Germinate(Germinate { slot, .. })
            | Self::Advance { slot, .. }
            | Self::SetAlphaTarget { slot, .. }
            | Self::SchedulePrune { slot, .. }
            | Self::Prune { slot, .. } => Some(slot),
            Self::Wait => None,
        }
    }
}

/// What an accepted command did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Executed {
    /// A seed germinated; this is what its lifecycle was told.
    Germinated(Box<Germination>),
    /// A germination is being made ready.
    Prefetching,
    /// A seed went on.
    Advanced {
        /// To here.
        stage: Stage,
    },
    /// Alpha goes elsewhere, or is there already.
    Retargeted {
        /// The curve that the ramp follows, where the seed's blend brings it.
        curve: Option<Curve>,
    },
    /// A seed is on its way out.
    PruneScheduled {
        /// The curve that the ramp follows, where the seed's blend brings it.
        curve: Option<Curve>,
    },
    /// A seed was removed.
    Pruned,
    /// Nothing, as asked.
    Waited,
}
