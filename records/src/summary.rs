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
    /// It was asked to stop.
    Interrupted,
    /// A forward pass failed.
    Failed,
}

/// `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// How the run ended.
    pub status: Status,
    /// Error of a run that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Version of Kasmina that ran.
    pub version: String,
    /// The torch that it runs on.
    pub torch: String,
    /// Id of the task.
    pub task: String,
    /// Seed of the run's random generators.
    pub seed: u64,
    /// Device of the run: `cpu` or `cuda:0`.
    pub device: String,
    /// Number of CPU threads of libtorch.
    pub threads: u32,
    /// Whether the rollback switch was on.
    pub seeds_disabled: bool,
    /// Id of the controller.
    pub controller: String,
    /// Epochs that were trained to their end.
    pub epochs: u32,
    /// Percent, after the last epoch; `null` if none was trained whole.
    pub final_val_accuracy: Option<f64>,
    /// Best validation accuracy of all epochs, in percent.
    pub best_val_accuracy: Option<f64>,
    /// Number of seeds that germinated.
    pub germinated: u32,
    /// Seeds that became part of the network.
    pub fossilized: u32,
    /// Number of seeds that were removed.
    pub pruned: u32,
    /// Trainable parameters of the host.
    pub host_params: u64,
    /// Trainable parameters of host and living seeds at the end.
    pub total_params: u64,
    /// Number of optimizer steps.
    pub steps: u64,
    /// Over the training passes alone.
    pub steps_per_second: f64,
    /// Multiply-adds of one forward of the network at the end, per sample.
    pub multiply_adds: u64,
    /// Multiply-adds of all training steps: three times those of their forwards.
    pub training_multiply_adds: f64,
    /// Optimizer steps that a group skipped because of a gradient that was not finite.
    pub skipped_steps: BTreeMap<String, u64>,
    /// From the first step to the last decision.
    pub wall_seconds: f64,
    /// Every seed of the run, oldest first.
    pub seeds: Vec<SeedFate>,
    /// Every plugin that the run used.
    pub plugins: Vec<PluginSummary>,
    /// SHA-256 of what the run has read besides plugins, by what it is (`training data`, `host module`, ...),
    /// in hexadecimal digits. Empty where a run keeps no checkpoints.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
}

/// What became of one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeedFate {
    /// Name of the seed.
    pub seed_id: String,
    /// Name of the slot.
    pub slot: String,
    /// What it was built from.
    pub blueprint: String,
    /// `fossilized`, `pruned`, or the stage that it was in when the run ended.
    pub fate: String,
    /// Reason of the prune; absent if the seed was not pruned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The epoch at whose end it germinated.
    pub germinated_epoch: u32,
    /// What it was worth when last measured.
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
    /// Its file; `None` for a built-in.
    pub path: Option<PathBuf>,
    /// SHA-256 of the plugin's file in hexadecimal digits; absent for built-ins.
    pub sha256: Option<String>,
    /// What the run took from it, as `kind:id`.
    pub entries: Vec<String>,
}
