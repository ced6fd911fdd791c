//! The summary of a run.

use super::tally::{Tally, is_seed_of};
use crate::config::RunConfig;
use kasmina::MorphogeneticModel;
use kasmina_records::{Status, Summary};
use kasmina_torch_ext::optim::Optimizer;
use std::collections::BTreeMap;

/// Returns the summary of a run, with the status `completed`. The caller sets another status and the inputs.
pub(super) fn summary(
    config: &RunConfig,
    model: &MorphogeneticModel,
    optimizer: &Optimizer,
    tally: &Tally,
    wall_seconds: f64,
) -> Summary {
    let mut seeds = tally.seeds().to_vec();
    for report in model.reports() {
        let living = seeds.iter_mut().rfind(|s| is_seed_of(s, &report));
        if let Some(seed) = living.filter(|s| s.fate == "germinated") {
            seed.fate = report.stage.as_str().to_ascii_lowercase();
        }
    }
    let ended = |fate: &str| seeds.iter().filter(|s| s.fate == fate).count() as u32;
    let seconds = tally.training().as_secs_f64();
    let skipped = optimizer.skipped_steps().unwrap_or_default().into_iter().filter(|(_, n)| *n > 0).collect();
    Summary {
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
        inputs: BTreeMap::new(),
    }
}
