//! Events of slots, serialized as flat objects: `{"event": NAME, "slot_id", "seed_id", ...}`.

use super::gate::{Check, Gate};
use super::stage::Stage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who decided on a prune.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Initiator {
    /// A command of a controller or a person.
    Policy,
    /// The lifecycle's own rules for HOLDING.
    Auto,
    /// A safety mechanism of the training loop; none exists yet.
    Governor,
}

impl EventKind {
    /// Whether `fast_mode` keeps the event: all events except gate evaluations, health and commands.
    pub fn is_stage_level(&self) -> bool {
        !matches!(self, Self::SeedGateEvaluated { .. } | Self::SeedHealth { .. } | Self::Command { .. })
    }
}

/// One event of one slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Kind of the event, with its fields.
    #[serde(flatten)]
    pub kind: EventKind,
    /// Name of the slot.
    pub slot_id: String,
    /// Name of the seed; `null` if the slot has none.
    pub seed_id: Option<String>,
}

/// Kinds of events, each with its fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are those of the published event schema, by name")]
pub enum EventKind {
    /// A seed was built and probed.
    SeedGerminated {
        blueprint_id: String,
        plugin: Option<String>,
        generation: Option<String>,
        params: u64,
        alpha: f64,
        blend: String,
        tempo: u32,
    },
    /// A gate was evaluated.
    SeedGateEvaluated {
        gate: Gate,
        target: Stage,
        passed: bool,
        score: f64,
        checks_passed: Vec<Check>,
        checks_failed: Vec<Check>,
        message: String,
    },
    /// The stage changed; the values are those at the end of the stage `from`.
    SeedStageChanged {
        from: Stage,
        to: Stage,
        alpha: f64,
        accuracy_delta: f64,
        epochs_in_stage: u32,
        gradient_ratio: Option<f64>,
    },
    /// A seed became a permanent part of the network.
    SeedFossilized {
        blueprint_id: String,
        improvement: f64,
        counterfactual: Option<f64>,
        blending_delta: f64,
        params_added: u64,
        epochs_total: u32,
    },
    /// A seed was removed from its slot.
    SeedPruned {
        reason: String,
        initiator: Initiator,
        blueprint_id: String,
        improvement: f64,
        counterfactual: Option<f64>,
        epochs_total: u32,
        params_removed: u64,
    },
    /// A seed became healthy or unhealthy.
    SeedHealth { healthy: bool, cause: String },
    /// A plugin's build was swapped during a run; the blends of `slots` now use the new build.
    PluginSwapped {
        kind: String,
        id: String,
        #[serde(default)]
        plugin: String,
        from_generation: String,
        to_generation: String,
        #[serde(default)]
        slots: Vec<String>,
    },
    /// A build that was swapped in passed its trial.
    PluginConfirmed { plugin: String, generation: String },
    /// A build that was swapped in failed its trial, and the previous build is used again.
    PluginRolledBack { plugin: String, from_generation: String, to_generation: String, reason: String },
    /// A build that should be swapped in was refused.
    PluginRefused { path: String, rule: String, found: String },
    /// A plugin panicked during training, and `policy` was applied to its slot.
    PluginContained { plugin: String, part: String, policy: String, error: String },
    /// A command was executed or refused.
    Command { command: serde_json::Value, accepted: bool, error: Option<String> },
}
