//! What goes into the machine, what it keeps of a seed, and what it answers.

use super::alpha::AlphaController;
use super::event::Event;
use super::gate::GateResult;
use super::metrics::SeedMetrics;
use super::stage::Stage;
use super::task::{AlphaSettings, TempoUnit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// How a seed is to be blended in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BlendPlan {
    /// Id of the blend.
    pub id: String,
    /// Alpha ramp. Linear if it names no curve; the caller passes the blend's own curve.
    #[serde(flatten)]
    pub alpha: AlphaSettings,
}

impl BlendPlan {
    /// The default ramp of a blend: five epochs to 1.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), alpha: AlphaSettings::default() }
    }
}

/// What a germination needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Germination {
    /// Name of the seed, unique in the model.
    pub seed_id: String,
    /// What it was built from.
    pub blueprint_id: String,
    /// Name of the plugin that has the blueprint.
    pub plugin: Option<String>,
    /// The build of that plugin.
    pub generation: Option<String>,
    /// How it is to be blended in.
    pub blend: BlendPlan,
    /// Trainable parameters of the seed.
    pub seed_params: u64,
    /// Trainable parameters of its blend's gate.
    pub gate_params: u64,
    /// Trainable parameters of the host.
    pub host_params: u64,
    /// Whether the seed is fossilized as soon as it germinates, without stages and gates, with alpha at its
    /// target. Controls that growth is compared with use this.
    #[serde(default, alias = "whole", skip_serializing_if = "std::ops::Not::not")]
    pub preinstalled: bool,
}

impl Germination {
    /// Describes a germination whose parameter counts are 0.
    pub fn new(seed_id: impl Into<String>, blueprint_id: impl Into<String>, blend: BlendPlan) -> Self {
        Self {
            seed_id: seed_id.into(),
            blueprint_id: blueprint_id.into(),
            plugin: None,
            generation: None,
            blend,
            seed_params: 0,
            gate_params: 0,
            host_params: 0,
            preinstalled: false,
        }
    }
}

/// The complete state of a seed. It has as many fields as it has because it is one row: what a journal keeps
/// of a slot and a checkpoint gives back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedState {
    /// Name of the seed, unique in the model.
    pub seed_id: String,
    /// What it was built from.
    pub blueprint_id: String,
    /// Id of the blend.
    pub blend_id: String,
    /// Present stage.
    pub stage: Stage,
    /// Stage before the present one.
    pub previous_stage: Stage,
    /// Validations that were made in the stage before.
    pub previous_epochs_in_stage: u32,
    /// Alpha with its ramp.
    pub alpha: AlphaController,
    /// Validations in this visit of the stage.
    pub epochs_in_stage: u32,
    /// Validations of the seed's life.
    pub epochs_total: u32,
    /// Measurements that the gates read.
    pub metrics: SeedMetrics,
    /// Trainable parameters of the seed: what its gradient norm is over.
    pub seed_params: u64,
    /// Trainable parameters of its blend's gate.
    pub gate_params: u64,
    /// Trainable parameters of the host.
    pub host_params: u64,
    /// The last hundred transitions, with the caller's timestamps.
    pub history: VecDeque<(Stage, u64)>,
    /// Why it is on its way out, if a prune is scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_prune: Option<String>,
    /// What a tick of its ramps is.
    pub tempo_unit: TempoUnit,
    pub(super) tempo: u32,
}

impl SeedState {
    /// Trainable parameters that come and go with the seed.
    pub fn parameters(&self) -> u64 {
        self.seed_params + self.gate_params
    }

    /// Whether it is on its way out: it takes part by its alpha, and learns nothing any more.
    pub fn is_leaving(&self) -> bool {
        self.scheduled_prune.is_some()
    }

    /// Whether there is a seed: what rests in a cooldown is only the memory of one.
    pub fn is_living(&self) -> bool {
        !matches!(self.stage, Stage::Embargoed | Stage::Resetting)
    }
}

/// What a slot's lifecycle keeps between two operations, its settings apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LifecycleState {
    /// The seed that lives there, or the memory of one in a cooldown.
    pub seed: Option<SeedState>,
    /// Events that nobody has taken out yet, oldest first.
    pub events: Vec<Event>,
    /// The time that transitions are recorded with, in milliseconds since 1970.
    pub now: u64,
}

/// One thing that a `step_epoch` did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Alpha moved, or stayed on its target.
    AlphaTicked {
        /// Alpha after the operation.
        alpha: f64,
    },
    /// A gate was evaluated.
    GateEvaluated(GateResult),
    /// The seed moved to another stage.
    Advanced {
        /// Stage before the move.
        from: Stage,
        /// Stage after the move.
        to: Stage,
    },
    /// Other ranks did not agree to what this one would have done by its rules.
    Vetoed {
        /// Stage that the seed would have moved to.
        to: Stage,
    },
    /// The seed was removed.
    Pruned {
        /// Reason that was given.
        reason: String,
    },
}
