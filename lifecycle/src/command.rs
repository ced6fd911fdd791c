//! Commands, the requests of a controller or a person that can change the structure of a model.

use super::curve::Curve;
use super::stage::Stage;
use super::state::Germination;
use super::task::TempoUnit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A request of a controller or a person to one slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Puts a seed into an empty slot.
    Germinate(Germinate),
    /// Moves the seed to its next stage, or to `target`.
    Advance {
        /// Slot, by name or alias.
        slot: String,
        /// Stage to move to; the next one if absent.
        #[serde(default)]
        target: Option<Stage>,
    },
    /// Ramps alpha to another target; a seed in HOLDING goes back to BLENDING.
    SetAlphaTarget {
        /// Slot, by name or alias.
        slot: String,
        /// Alpha at the end of the ramp, above 0 and at most 1.
        target: f64,
        /// Length of the ramp in ticks; 0 sets alpha at once.
        steps: u32,
        /// Curve of this ramp; the seed's own if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        curve: Option<Curve>,
    },
    /// Ramps alpha down to 0, then removes the seed.
    SchedulePrune {
        /// Slot, by name or alias.
        slot: String,
        /// Length of the ramp in ticks; 0 removes the seed at once.
        steps: u32,
        /// Reason that the event records.
        reason: String,
    },
    /// Removes the seed at once, in any stage from GERMINATED to HOLDING.
    Prune {
        /// Slot, by name or alias.
        slot: String,
        /// Reason that the event records.
        reason: String,
    },
    /// Does nothing; recorded as a deliberate decision.
    Wait,
}

/// The seed to germinate, its slot, and how it is blended in. The task's settings replace absent fields of
/// the ramp.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Germinate {
    /// Slot, by name or alias.
    pub slot: String,
    /// Name of the seed. A name that is new in the run keeps the journal unambiguous.
    pub seed_id: String,
    /// Id of the blueprint: `conv_light` or `plugin::conv_light`.
    pub blueprint: String,
    /// Configuration of the blueprint; `null` for its default.
    #[serde(default)]
    pub blueprint_config: serde_json::Value,
    /// Id of the blend: `linear` or `plugin::linear`.
    pub blend: String,
    /// Configuration of the blend; `null` for its default.
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
    /// Whether the work that needs no tensor starts now, on another thread. The seed is then built at the end
    /// of an epoch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prefetch: bool,
    /// Whether the seed is fossilized as soon as it germinates, without stages and gates, with alpha at its
    /// target. Comparisons use this for networks that do not grow. Written as `whole`.
    #[serde(default, rename = "whole", skip_serializing_if = "std::ops::Not::not")]
    pub preinstalled: bool,
}

impl Germinate {
    /// Creates a request with default configurations and the task's ramp.
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
    /// Slot of the command, by the name or alias that the command uses; `None` for [`Wait`](Self::Wait).
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
    /// A seed germinated, with the request that its lifecycle received.
    Germinated(Box<Germination>),
    /// A germination is being prepared on another thread.
    Prefetching,
    /// The seed moved to another stage.
    Advanced {
        /// Stage that the seed is in now.
        stage: Stage,
    },
    /// A ramp to another target began, or alpha has that value already.
    Retargeted {
        /// Curve of the ramp, if the seed's blend defines it.
        curve: Option<Curve>,
    },
    /// A ramp to 0 began, after which the seed is removed.
    PruneScheduled {
        /// Curve of the ramp, if the seed's blend defines it.
        curve: Option<Curve>,
    },
    /// The seed was removed.
    Pruned,
    /// Nothing was done, as requested.
    Waited,
}
