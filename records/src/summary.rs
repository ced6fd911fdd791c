//! `summary.json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All epochs were trained.
    Completed,
    /// The run was requested to stop.
    Interrupted,
    /// A forward pass failed.
    Failed,
}

/// Summary of a run, as written to `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// How the run ended.
    pub status: Status,
    /// Error of a run that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Version of Kasmina.
    pub version: String,
    /// Version of torch.
    pub torch: String,
    /// Id of the task.
    pub task: String,
    /// Seed of the run's random generators.
    pub seed: u64,
    /// Device of the run: `cpu` or `cuda:0`.
    pub device: String,
    /// Number of CPU threads of libtorch.
    pub threads: u32,
    /// Whether `disable_seeds` was set, so that the host was trained alone.
    pub seeds_disabled: bool,
    /// Id of the controller.
    pub controller: String,
    /// Number of completed epochs.
    pub epochs: u32,
    /// Validation accuracy after the last epoch, in percent; `null` if no epoch was completed.
    pub final_val_accuracy: Option<f64>,
    /// Best validation accuracy of all epochs, in percent.
    pub best_val_accuracy: Option<f64>,
    /// Number of seeds that germinated.
    pub germinated: u32,
    /// Number of seeds that were fossilized.
    pub fossilized: u32,
    /// Number of seeds that were pruned.
    pub pruned: u32,
    /// Number of trainable parameters of the host.
    pub host_params: u64,
    /// Number of trainable parameters of the host and its seeds at the end.
    pub total_params: u64,
    /// Number of optimizer steps.
    pub steps: u64,
    /// Optimizer steps per second of training, without validation and decisions.
    pub steps_per_second: f64,
    /// Multiply-adds of one forward of the network at the end, per sample.
    pub multiply_adds: u64,
    /// Multiply-adds of all training steps, counted as three times those of their forwards.
    pub training_multiply_adds: f64,
    /// Number of optimizer steps skipped because of a gradient that was not finite, by parameter group.
    pub skipped_steps: BTreeMap<String, u64>,
    /// Wall-clock time from the first step to the last decision, in seconds.
    pub wall_seconds: f64,
    /// All seeds of the run, oldest first.
    pub seeds: Vec<SeedFate>,
    /// All plugins that the run used.
    pub plugins: Vec<PluginSummary>,
    /// SHA-256 of the run's input files besides plugins, in hexadecimal digits, by kind (`training data`,
    /// `host module`, ...). Empty if the run keeps no checkpoints.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
}

/// Summary of one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeedFate {
    /// Name of the seed.
    pub seed_id: String,
    /// Name of the slot.
    pub slot: String,
    /// Id of the seed's blueprint.
    pub blueprint: String,
    /// `fossilized`, `pruned`, or the seed's stage when the run ended.
    pub fate: String,
    /// Reason of the prune; absent if the seed was not pruned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Epoch at whose end the seed germinated.
    pub germinated_epoch: u32,
    /// Contribution at the last measurement, in percentage points; absent if it was never measured.
    pub contribution: Option<f64>,
    /// Number of the seed's trainable parameters.
    pub parameters: u64,
}

/// A plugin that the run used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PluginSummary {
    /// Name of the plugin's package.
    pub name: String,
    /// Version of the plugin's package.
    pub version: String,
    /// Path of the plugin's file; absent for built-ins.
    pub path: Option<PathBuf>,
    /// SHA-256 of the plugin's file in hexadecimal digits; absent for built-ins.
    pub sha256: Option<String>,
    /// Entries of the plugin that the run used, as `kind:id`.
    pub entries: Vec<String>,
}
