//! What happened, as flat objects: `{"event": NAME, "slot_id", "seed_id", ...}`.

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
    /// The training loop's safety net; none prunes yet.
    Governor,
}

impl EventKind {
    /// Whether it tells of a stage, a germination or an end: the events that `fast_mode` keeps.
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
    /// Whom it concerns; `null` where no seed exists.
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
    /// A stage was left for another; values are those of the stage left.
    SeedStageChanged {
        from: Stage,
        to: Stage,
        alpha: f64,
        accuracy_delta: f64,
        epochs_in_stage: u32,
        gradient_ratio: Option<f64>,
    },
    /// A seed is part of the network for good.
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
    /// A plugin's build was exchanged under a live run; the blends of these slots moved over.
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
    /// A build that was swapped in has held for its trial.
    PluginConfirmed { plugin: String, generation: String },
    /// A build that was swapped in has failed in its trial, and the one before is back.
    PluginRolledBack { plugin: String, from_generation: String, to_generation: String, reason: String },
    /// A build was to be swapped in and was not let in.
    PluginRefused { path: String, rule: String, found: String },
    /// A plugin panicked in a live call, and its slot follows its policy.
    PluginContained { plugin: String, part: String, policy: String, error: String },
    /// A command was asked of the model.
    Command { command: serde_json::Value, accepted: bool, error: Option<String> },
}
