//! The commands: everything that can change structure, as data.

use super::curve::Curve;
use super::stage::Stage;
use super::state::Germination;
use super::task::TempoUnit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a controller or a person asks of one slot.
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
        /// Reason that the event records.
        reason: String,
    },
    /// Removes the seed, whatever its stage up to HOLDING.
    Prune {
        /// Slot, by name or alias.
        slot: String,
        /// Reason that the event records.
        reason: String,
    },
    /// Does nothing; recorded as a deliberate decision.
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
    /// Id of the blueprint: `conv_light` or `plugin::conv_light`.
    pub blueprint: String,
    /// Its configuration; `null` for the default.
    #[serde(default)]
    pub blueprint_config: serde_json::Value,
    /// Id of the blend: `linear` or `plugin::linear`.
    pub blend: String,
    /// Its configuration; `null` for the default.
    #[serde(default)]
    pub blend_config: serde_json::Value,
    /// Length of the ramp in ticks; the task's setting if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tempo: Option<u32>,
    /// Whether the ramp counts epochs or steps; the task's setting if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<TempoUnit>,
    /// Alpha at the end of the ramp, above 0 and at most 1; the task's setting if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// Do the work that needs no tensor now, on another thread; the seed is built when the model lands it, at
    /// the edge of an epoch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prefetch: bool,
    /// Fossilize the seed as soon as it germinates, without stages and gates, with alpha at its target.
    /// Controls that growth is compared with use this. Also read as `whole`, its name before version 0.2.
    #[serde(default, alias = "whole", skip_serializing_if = "std::ops::Not::not")]
    pub preinstalled: bool,
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
            preinstalled: false,
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
    /// The seed moved to another stage.
    Advanced {
        /// Stage that the seed is in now.
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
    /// The seed was removed.
    Pruned,
    /// Nothing was done, as the command asked.
    Waited,
}
