//! Counts and sums of a run, for its summary.

use kasmina::lifecycle::{Event, EventKind};
use kasmina::{MorphogeneticModel, SlotReport};
use kasmina_records::{PluginSummary, SeedFate};
use kasmina_registry::PluginInfo;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Amount of training in one epoch.
#[derive(Debug)]
pub(super) struct TrainedEpoch {
    pub(super) steps: u64,
    pub(super) samples: u64,
    /// Multiply-adds of one forward, per sample.
    pub(super) multiply_adds: u64,
}

/// Counts and sums of a run so far. Saved in checkpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tally {
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
        tally.add_entry(model.host().plugin(), format!("host:{}", model.host().id()));
        tally
    }

    /// Adds an entry to those that the run has used of a plugin.
    fn add_entry(&mut self, plugin: &PluginInfo, entry: String) {
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

    /// Adds the plugins of the seeds that live now.
    pub(super) fn add_plugins(&mut self, model: &MorphogeneticModel) {
        for (blueprint, blend) in model.slots().iter().filter_map(|s| s.entries()) {
            for entry in [blueprint, blend] {
                self.add_entry(entry.plugin(), format!("{}:{}", entry.kind(), entry.id()));
            }
        }
    }

    /// Adds the training pass of an epoch.
    pub(super) fn add_training(&mut self, epoch: &TrainedEpoch, took: Duration) {
        self.steps += epoch.steps;
        // A backward costs two forwards: one for the gradients of the inputs, one for those of the weights.
        self.multiply_adds += 3.0 * epoch.multiply_adds as f64 * epoch.samples as f64;
        self.training += took;
    }

    /// Returns the number of complete epochs.
    pub(super) fn epochs(&self) -> u32 {
        self.epochs
    }

    /// Returns the best validation accuracy so far, in percent.
    pub(super) fn best(&self) -> Option<f64> {
        self.best
    }

    /// Returns the number of training steps in complete epochs.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// Returns the time spent in training passes.
    pub(super) fn training(&self) -> Duration {
        self.training
    }

    /// Returns every seed of the run, oldest first.
    pub(super) fn seeds(&self) -> &[SeedFate] {
        &self.seeds
    }

    /// Returns every plugin that the run has used, by name.
    pub(super) fn plugins(&self) -> impl Iterator<Item = &PluginSummary> {
        self.plugins.values()
    }

    /// Returns the multiply-adds of all training passes so far.
    pub(super) fn multiply_adds(&self) -> f64 {
        self.multiply_adds
    }

    /// Adds the validation accuracy of an epoch, in percent, which completes the epoch.
    pub(super) fn add_validation(&mut self, accuracy: f64) {
        self.epochs += 1;
        self.accuracy = Some(accuracy);
        self.best = Some(self.best.map_or(accuracy, |best| best.max(accuracy)));
    }

    /// Returns the number of the epoch in training, counted from 1.
    pub(super) fn epoch_in_training(&self) -> u32 {
        self.epochs + 1
    }

    /// Returns the validation accuracy after the last epoch, in percent.
    pub(super) fn accuracy(&self) -> Option<f64> {
        self.accuracy
    }

    /// Returns the number of seeds that have germinated.
    pub(super) fn germinated(&self) -> u32 {
        self.seeds.len() as u32
    }

    /// Updates the contributions of seeds from the reports of an epoch.
    pub(super) fn update_contributions(&mut self, reports: &[SlotReport]) {
        for report in reports {
            let seed = self.seeds.iter_mut().rfind(|s| is_seed_of(s, report));
            if let (Some(seed), Some(contribution)) = (seed, report.contribution) {
                seed.contribution = Some(contribution);
            }
        }
    }

    /// Updates the seeds from the events of an epoch.
    pub(super) fn count_events(&mut self, events: &[Event]) {
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

/// Returns the final fate of a seed, if the event decides it.
fn fate(kind: &EventKind) -> Option<&'static str> {
    match kind {
        EventKind::SeedFossilized { .. } => Some("fossilized"),
        EventKind::SeedPruned { .. } => Some("pruned"),
        _ => None,
    }
}

/// Whether a seed has the slot and the id of a report. Ids may repeat; then the newest such seed is meant.
pub(super) fn is_seed_of(seed: &SeedFate, report: &SlotReport) -> bool {
    seed.slot == report.slot && Some(&seed.seed_id) == report.seed_id.as_ref()
}
