//! What a run amounts to.

use crate::config::RunConfig;
use kasmina::lifecycle::{Event, EventKind};
use kasmina::{MorphogeneticModel, SlotReport};
use kasmina_registry::PluginInfo;
use kasmina_torch_ext::optim::Optimizer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

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

/// What became of one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedFate {
    /// Its name.
    pub seed_id: String,
    /// Where it lived.
    pub slot: String,
    /// What it was built from.
    pub blueprint: String,
    /// `fossilized`, `pruned`, or the stage that it was in when the run ended.
    pub fate: String,
    /// Why it was pruned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The epoch at whose end it germinated.
    pub germinated_epoch: u32,
    /// What it was worth when last measured.
    pub contribution: Option<f64>,
    /// Its trainable parameters.
    pub parameters: u64,
}

impl SeedFate {
    /// Whether this may be the seed of a slot's report; of several, the newest is.
    fn is_in(&self, report: &SlotReport) -> bool {
        self.slot == report.slot && Some(&self.seed_id) == report.seed_id.as_ref()
    }
}

/// A plugin that the run used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginSummary {
    /// Crate name.
    pub name: String,
    /// Package version.
    pub version: String,
    /// Its file; `None` for a built-in.
    pub path: Option<PathBuf>,
    /// Hash of its file.
    pub sha256: Option<String>,
    /// What the run took from it, as `kind:id`.
    pub entries: Vec<String>,
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

/// An epoch of training: how much of what ran.
#[derive(Debug)]
pub(super) struct Trained {
    pub(super) steps: u64,
    pub(super) samples: u64,
    /// Of one forward, per sample.
    pub(super) multiply_adds: u64,
}

/// What is counted while a run goes.
#[derive(Debug)]
pub(super) struct Tally {
    epochs: u32,
    accuracy: Option<f64>,
    best: Option<f64>,
    steps: u64,
    multiply_adds: f64,
    training: Duration,
    seeds: Vec<SeedFate>,
    plugins: BTreeMap<String, PluginSummary>,
}

impl Tally {
    pub(super) fn new(model: &MorphogeneticModel) -> Self {
        let mut tally = Self {
            epochs: 0,
            accuracy: None,
            best: None,
            steps: 0,
            multiply_adds: 0.0,
            training: Duration::ZERO,
            seeds: Vec::new(),
            plugins: BTreeMap::new(),
        };
        tally.used(model.host().plugin(), format!("host:{}", model.host().id()));
        tally
    }

    fn used(&mut self, plugin: &PluginInfo, entry: String) {
        let summary = self.plugins.entry(plugin.name.clone()).or_insert_with(|| PluginSummary {
            name: plugin.name.clone(),
            version: plugin.version.clone(),
            path: plugin.path.clone(),
            sha256: plugin.sha256.clone(),
            entries: Vec::new(),
        });
        if !summary.entries.contains(&entry) {
            summary.entries.push(entry);
            summary.entries.sort();
        }
    }

    /// Notes the plugins behind the seeds that live now.
    pub(super) fn living(&mut self, model: &MorphogeneticModel) {
        for (blueprint, blend) in model.slots().iter().filter_map(|s| s.entries()) {
            for entry in [blueprint, blend] {
                self.used(entry.plugin(), format!("{}:{}", entry.kind(), entry.id()));
            }
        }
    }

    pub(super) fn trained(&mut self, epoch: &Trained, took: Duration) {
        self.steps += epoch.steps;
        // A backward takes two forwards: one for the gradient of the inputs, one for that of the weights.
        self.multiply_adds += 3.0 * epoch.multiply_adds as f64 * epoch.samples as f64;
        self.training += took;
    }

    /// Of all training steps so far.
    pub(super) fn multiply_adds(&self) -> f64 {
        self.multiply_adds
    }

    pub(super) fn validated(&mut self, accuracy: f64) {
        self.epochs += 1;
        self.accuracy = Some(accuracy);
        self.best = Some(self.best.map_or(accuracy, |best| best.max(accuracy)));
    }

    /// The number of the epoch in training, counted from 1.
    pub(super) fn epoch_in_training(&self) -> u32 {
        self.epochs + 1
    }

    /// Validation accuracy after the last epoch, in percent.
    pub(super) fn accuracy(&self) -> Option<f64> {
        self.accuracy
    }

    pub(super) fn germinated(&self) -> u32 {
        self.seeds.len() as u32
    }

    pub(super) fn measured(&mut self, reports: &[SlotReport]) {
        for report in reports {
            let seed = self.seeds.iter_mut().rfind(|s| s.is_in(report));
            if let (Some(seed), Some(contribution)) = (seed, report.contribution) {
                seed.contribution = Some(contribution);
            }
        }
    }

    pub(super) fn count(&mut self, events: &[Event]) {
        for event in events {
            let Some(seed_id) = &event.seed_id else { continue };
            match &event.kind {
                EventKind::SeedGerminated { blueprint_id, params, .. } => self.seeds.push(SeedFate {
                    seed_id: seed_id.clone(),
                    slot: event.slot_id.clone(),
                    blueprint: blueprint_id.clone(),
                    fate: "germinated".to_owned(),
                    reason: None,
                    germinated_epoch: self.epochs,
                    contribution: None,
                    parameters: *params,
                }),
                kind => {
                    let Some(seed) =
                        self.seeds.iter_mut().rfind(|s| s.seed_id == *seed_id && s.slot == event.slot_id)
                    else {
                        continue;
                    };
                    if let Some(fate) = fate(kind) {
                        fate.clone_into(&mut seed.fate);
                    }
                    if let EventKind::SeedPruned { reason, .. } = kind {
                        seed.reason = Some(reason.clone());
                    }
                }
            }
        }
    }
}

impl Summary {
    pub(super) fn of(
        config: &RunConfig,
        model: &MorphogeneticModel,
        optimizer: &Optimizer,
        tally: &Tally,
        wall: Duration,
    ) -> Self {
        let mut seeds = tally.seeds.clone();
        for report in model.reports() {
            let living = seeds.iter_mut().rfind(|s| s.is_in(&report));
            if let Some(seed) = living.filter(|s| s.fate == "germinated") {
                seed.fate = report.stage.as_str().to_ascii_lowercase();
            }
        }
        let ended = |fate: &str| seeds.iter().filter(|s| s.fate == fate).count() as u32;
        let seconds = tally.training.as_secs_f64();
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
            epochs: tally.epochs,
            final_val_accuracy: tally.accuracy,
            best_val_accuracy: tally.best,
            germinated: tally.germinated(),
            fossilized: ended("fossilized"),
            pruned: ended("pruned"),
            host_params: model.host_parameter_count(),
            total_params: model.parameter_count(),
            steps: tally.steps,
            steps_per_second: if seconds > 0.0 { tally.steps as f64 / seconds } else { 0.0 },
            multiply_adds: model.active_multiply_adds(),
            training_multiply_adds: tally.multiply_adds,
            skipped_steps: skipped,
            wall_seconds: wall.as_secs_f64(),
            seeds,
            plugins: tally.plugins.values().cloned().collect(),
        }
    }

    pub(super) fn ended(mut self, status: Status, error: Option<String>) -> Self {
        self.status = status;
        self.error = error;
        self
    }
}

/// Whether an event says that a seed is gone or here to stay.
fn fate(kind: &EventKind) -> Option<&'static str> {
    match kind {
        EventKind::SeedFossilized { .. } => Some("fossilized"),
        EventKind::SeedPruned { .. } => Some("pruned"),
        _ => None,
    }
}
