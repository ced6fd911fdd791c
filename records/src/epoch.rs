//! Rows of `metrics.jsonl` and `slots.json`.

use crate::reward::Reward;
use kasmina_lifecycle::{SlotInputs, Stage, any_number, any_numbers};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name of the file of epochs in a run directory.
pub const METRICS: &str = "metrics.jsonl";

/// One epoch, as written to `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EpochReport {
    /// Number of the epoch, counted from 1.
    pub epoch: u32,
    /// Mean training loss over the epoch's samples.
    #[serde(with = "any_number")]
    #[schemars(with = "f64")]
    pub train_loss: f64,
    /// Mean loss over the validation samples.
    #[serde(with = "any_number")]
    #[schemars(with = "f64")]
    pub val_loss: f64,
    /// Validation accuracy in percent.
    pub val_accuracy: f64,
    /// Wall-clock time of training, validation and decisions, in seconds.
    pub seconds: f64,
    /// Multiply-adds of all training steps so far.
    #[serde(default)]
    pub training_multiply_adds: f64,
    /// Rows of the slots, by name of the slot.
    pub slots: BTreeMap<String, SlotRow>,
    /// Reward of the epoch for a learned controller.
    #[serde(default)]
    pub reward: Reward,
    /// Metrics that plugins recorded, by `plugin/name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "any_numbers")]
    #[schemars(with = "BTreeMap<String, f64>")]
    pub plugin_metrics: BTreeMap<String, f64>,
}

/// A slot of the run's model, as written to `slots.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SlotInfo {
    /// Name of the slot.
    pub slot: String,
    /// Other names of the slot.
    pub aliases: Vec<String>,
    /// Topology of the features at the slot.
    pub topology: String,
    /// Size of the channel dimension at the slot.
    pub channels: i64,
    /// Shape of one sample's features at the slot.
    pub shape: Vec<i64>,
}

/// One slot in one epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlotRow {
    /// Stage after the decisions at the end of this epoch. The measurements were made before the decisions,
    /// in the stage of the previous epoch's row.
    pub stage: Stage,
    /// Alpha after the decisions at the end of this epoch.
    pub alpha: f64,
    /// Contribution that was measured before the decisions, in percentage points.
    pub contribution: Option<f64>,
    /// Ratio of gradient norms that the gates read for the decisions.
    pub gradient_ratio: Option<f64>,
    /// All inputs of the slot's lifecycle in this epoch.
    pub inputs: SlotInputs,
}
