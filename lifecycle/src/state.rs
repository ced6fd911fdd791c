//! The input of a germination, the state of a seed and of its slot, and the outcomes of an epoch.

use super::alpha::AlphaController;
use super::event::Event;
use super::gate::GateResult;
use super::metrics::SeedMetrics;
use super::stage::Stage;
use super::task::{AlphaSettings, TempoUnit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Blend and alpha ramp of a germination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BlendPlan {
    /// Id of the blend.
    pub id: String,
    /// Alpha ramp. Linear if it names no curve; `kasmina` fills in the blend's own curve.
    #[serde(flatten)]
    pub alpha: AlphaSettings,
}

impl BlendPlan {
    /// Creates a plan with the default ramp: five epochs to alpha 1.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), alpha: AlphaSettings::default() }
    }
}

/// Request to germinate a seed that has been built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Germination {
    /// Name of the seed, unique in the model.
    pub seed_id: String,
    /// Id of the seed's blueprint.
    pub blueprint_id: String,
    /// Name of the plugin that contains the blueprint.
    pub plugin: Option<String>,
    /// Generation (build) of that plugin.
    pub generation: Option<String>,
    /// How the seed is blended in.
    pub blend: BlendPlan,
    /// Number of trainable parameters of the seed.
    pub seed_params: u64,
    /// Number of trainable parameters of the seed's blend.
    pub gate_params: u64,
    /// Number of trainable parameters of the host.
    pub host_params: u64,
    /// Whether the seed is fossilized as soon as it germinates, without stages and gates, with alpha at its
    /// target. Comparisons use this for networks that do not grow.
    #[serde(default, rename = "whole", skip_serializing_if = "std::ops::Not::not")]
    pub preinstalled: bool,
}

impl Germination {
    /// Creates a request whose parameter counts are 0.
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

/// Complete state of a seed, as checkpoints store it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedState {
    /// Name of the seed, unique in the model.
    pub seed_id: String,
    /// Id of the seed's blueprint.
    pub blueprint_id: String,
    /// Id of the blend.
    pub blend_id: String,
    /// Present stage.
    pub stage: Stage,
    /// Stage before the present one.
    pub previous_stage: Stage,
    /// Number of epochs spent in the previous stage.
    pub previous_epochs_in_stage: u32,
    /// Alpha with its ramp.
    pub alpha: AlphaController,
    /// Number of validations since the present stage was entered; in a cooldown, number of epochs.
    pub epochs_in_stage: u32,
    /// Number of validations since germination.
    pub epochs_total: u32,
    /// Measurements that the gates read.
    pub metrics: SeedMetrics,
    /// Number of trainable parameters of the seed, those that its gradient norm includes.
    pub seed_params: u64,
    /// Number of trainable parameters of the seed's blend.
    pub gate_params: u64,
    /// Number of trainable parameters of the host.
    pub host_params: u64,
    /// The last 100 stages entered, each with its time in milliseconds since 1970.
    pub history: VecDeque<(Stage, u64)>,
    /// Reason of a scheduled prune; absent if none is scheduled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_prune: Option<String>,
    /// Whether the seed's ramps count epochs or steps.
    pub tempo_unit: TempoUnit,
    pub(super) tempo: u32,
}

impl SeedState {
    /// Number of trainable parameters of the seed and its blend.
    pub fn parameters(&self) -> u64 {
        self.seed_params + self.gate_params
    }

    /// Whether a prune is scheduled. The seed is still in the output by its alpha, but no longer trains.
    pub fn is_leaving(&self) -> bool {
        self.scheduled_prune.is_some()
    }

    /// Whether the seed exists. In a cooldown only the state of the removed seed is left.
    pub fn is_living(&self) -> bool {
        !matches!(self.stage, Stage::Embargoed | Stage::Resetting)
    }
}

/// State of a slot's lifecycle between two operations, without its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LifecycleState {
    /// State of the seed, or in a cooldown of the removed seed; absent for an empty slot.
    pub seed: Option<SeedState>,
    /// Events that were not drained yet, oldest first.
    pub events: Vec<Event>,
    /// Time for transitions, in milliseconds since 1970.
    pub now: u64,
}

/// One effect of a [`step_epoch`](crate::Lifecycle::step_epoch).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The epoch of a seed in BLENDING ended; alpha moved if its ramp counts epochs.
    AlphaTicked {
        /// Alpha at the end of the epoch.
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
    /// This rank's rules required a transition, but other ranks did not agree to it.
    Vetoed {
        /// Stage that the seed would have moved to.
        to: Stage,
    },
    /// The seed was removed.
    Pruned {
        /// Reason that the event records.
        reason: String,
    },
}
