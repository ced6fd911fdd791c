//! What is counted while a run goes.

use kasmina::lifecycle::{Event, EventKind};
use kasmina::{MorphogeneticModel, SlotReport};
use kasmina_records::{PluginSummary, SeedFate};
use kasmina_registry::PluginInfo;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// An epoch of training: how much of what ran.
#[derive(Debug)]
pub(super) struct Trained {
    pub(super) steps: u64,
    pub(super) samples: u64,
    /// Of one forward, per sample.
    pub(super) multiply_adds: u64,
}

/// What is counted while a run goes. All of it lasts between two steps.
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

    /// Epochs that were trained to their end.
    pub(super) fn epochs(&self) -> u32 {
        self.epochs
    }

    /// The best validation accuracy so far, in percent.
    pub(super) fn best(&self) -> Option<f64> {
        self.best
    }

    /// Optimizer steps of epochs that were trained whole.
    pub(super) fn steps(&self) -> u64 {
        self.steps
    }

    /// Time spent in training passes.
    pub(super) fn training(&self) -> Duration {
        self.training
    }

    /// Every seed of the run, oldest first.
    pub(super) fn seeds(&self) -> &[SeedFate] {
        &self.seeds
    }

    /// Every plugin that the run has used, by name.
    pub(super) fn plugins(&self) -> impl Iterator<Item = &PluginSummary> {
        self.plugins.values()
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
            let seed = self.seeds.iter_mut().rfind(|s| is_in(s, report));
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

/// Whether an event says that a seed is gone or here to stay.
fn fate(kind: &EventKind) -> Option<&'static str> {
    match kind {
        EventKind::SeedFossilized { .. } => Some("fossilized"),
        EventKind::SeedPruned { .. } => Some("pruned"),
        _ => None,
    }
}

/// Whether a seed may be the one of a slot's report; of several, the newest is.
pub(super) fn is_in(seed: &SeedFate, report: &SlotReport) -> bool {
    seed.slot == report.slot && Some(&seed.seed_id) == report.seed_id.as_ref()
}
