//! The commands: everything that can change structure, as data.

use crate::lifecycle::Stage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A wish of a controller or a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "command", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Command {
    /// Put a seed into an empty slot.
    Germinate(Germinate),
    /// Go on to the next stage, or to the one named.
    Advance {
        /// Slot, by name or alias.
        slot: String,
        /// Which stage; the next one if not named.
        #[serde(default)]
        #[schemars(with = "Option<String>")]
        target: Option<Stage>,
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

/// Which seed, where, and how it is to be blended in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Epochs of the ramp.
    pub tempo: u32,
    /// Where alpha goes.
    pub target: f64,
}

impl Germinate {
    /// Default configurations and the default ramp: five epochs to 1.
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
            tempo: 5,
            target: 1.0,
        }
    }
}

impl Command {
    /// The slot that it concerns, as it names it.
    pub fn slot(&self) -> Option<&str> {
        match self {
            Self::Germinate(Germinate { slot, .. })
            | Self::Advance { slot, .. }
            | Self::Prune { slot, .. } => Some(slot),
            Self::Wait => None,
        }
    }
}

/// What an accepted command did.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Executed {
    /// A seed germinated, with so many trainable parameters.
    Germinated {
        /// Seed and gate.
        parameters: u64,
    },
    /// A seed went on.
    Advanced {
        /// To here.
        stage: Stage,
    },
    /// A seed was removed.
    Pruned,
    /// Nothing, as asked.
    Waited,
}
