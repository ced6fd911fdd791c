//! What a run amounts to.

use super::outcome::{PluginSummary, SeedFate};
use super::tally::Tally;
use crate::config::RunConfig;
use kasmina::MorphogeneticModel;
use kasmina_torch_ext::optim::Optimizer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All epochs were trained.
    Completed,
    /// It was asked to stop.
    Interrupted,
    /// A forward failed.
    Failed,
}

/// `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How the run ended.
    pub status: Status,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Kasmina's version.
    pub version: String,
    /// The torch that it runs on.
    pub torch: String,
    /// The task's id.
    pub task: String,
    /// The run's seed.
    pub seed: u64,
    /// Where it ran.
    pub device: String,
    /// Threads of the CPU.
    pub threads: u32,
    /// Whether the rollback switch was on.
    pub seeds_disabled: bool,
    /// The controller's id.
    pub controller: String,
    /// Epochs trained whole.
    pub epochs: u32,
    /// Percent, after the last epoch; `null` if none was trained whole.
    pub final_val_accuracy: Option<f64>,
    /// Percent, over all epochs.
    pub best_val_accuracy: Option<f64>,
    /// Seeds that germinated.
    pub germinated: u32,
    /// Seeds that became part of the network.
    pub fossilized: u32,
    /// Seeds that were removed.
    pub pruned: u32,
    /// Trainable parameters of the host.
    pub host_params: u64,
    /// Trainable parameters of host and living seeds at the end.
    pub total_params: u64,
    /// Optimizer steps.
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
}

impl Summary {
    pub(super) fn of(
        config: &RunConfig,
        model: &MorphogeneticModel,
        optimizer: &Optimizer,
        tally: &Tally,
        wall_seconds: f64,
    ) -> Self {
        let mut seeds = tally.seeds().to_vec();
        for report in model.reports() {
            let living = seeds.iter_mut().rfind(|s| s.is_in(&report));
            if let Some(seed) = living.filter(|s| s.fate == "germinated") {
                seed.fate = report.stage.as_str().to_ascii_lowercase();
            }
        }
        let ended = |fate: &str| seeds.iter().filter(|s| s.fate == fate).count() as u32;
        let seconds = tally.training().as_secs_f64();
        let skipped =
            optimizer.skipped_steps().unwrap_or_default().into_iter().filter(|(_, n)| *n > 0).collect();
        Self {
            status: Status::Completed,
            error: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            torch: kasmina_plugin_api::TORCH_VERSION.to_owned(),
            task: config.task.clone(),
            seed: config.seed,
            device: config.device.clone(),
            threads: config.threads,
            seeds_disabled: config.disable_seeds,
            controller: config.controller.clone(),
            epochs: tally.epochs(),
            final_val_accuracy: tally.accuracy(),
            best_val_accuracy: tally.best(),
            germinated: tally.germinated(),
            fossilized: ended("fossilized"),
            pruned: ended("pruned"),
            host_params: model.host_parameter_count(),
            total_params: model.parameter_count(),
            steps: tally.steps(),
            steps_per_second: if seconds > 0.0 { tally.steps() as f64 / seconds } else { 0.0 },
            multiply_adds: model.active_multiply_adds(),
            training_multiply_adds: tally.multiply_adds(),
            skipped_steps: skipped,
            wall_seconds,
            seeds,
            plugins: tally.plugins().cloned().collect(),
        }
    }

    pub(super) fn ended(mut self, status: Status, error: Option<String>) -> Self {
        self.status = status;
        self.error = error;
        self
    }
}
