//! The state of growth between two commands.

use crate::lifecycle::AlphaSettings;
use crate::model::Germinate;
use kasmina_registry::RegistryError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::thread::JoinHandle;

/// A thread that checks the configurations of a germination.
pub(super) type Worker = JoinHandle<Result<(), RegistryError>>;

/// A prefetched germination in a saved state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefetchState {
    /// Name of the slot.
    pub slot: String,
    /// The requested germination.
    pub germinate: Germinate,
}

/// A prefetched germination.
#[derive(Debug)]
pub(in crate::model) struct Prefetch {
    /// The requested germination.
    pub(super) germinate: Germinate,
    /// Index of the slot.
    pub(super) index: usize,
    pub(super) worker: Worker,
}

/// Settings of growth, results of probes, and prefetched germinations.
#[derive(Debug)]
pub(in crate::model) struct Growth {
    /// The run's random seed. Initial weights depend only on it and on the names of slot and seed.
    seed: u64,
    /// Largest number of occupied slots, fossilized seeds included; no limit if `None`.
    max_seeds: Option<u32>,
    /// Default ramp settings, for what a germination does not specify.
    alpha: AlphaSettings,
    /// Cache of passed probes: multiply-adds per sample of the seed, by everything that the probe depends on.
    probed: BTreeMap<String, u64>,
    /// Prefetched germinations, in the order of their commands. They are executed at the end of the epoch.
    prefetches: Vec<Prefetch>,
}

impl Growth {
    pub(in crate::model) fn new(seed: u64, max_seeds: Option<u32>, alpha: AlphaSettings) -> Self {
        Self { seed, max_seeds, alpha, probed: BTreeMap::new(), prefetches: Vec::new() }
    }

    /// Returns the run's random seed.
    pub(in crate::model) fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the largest number of occupied slots; no limit if `None`.
    pub(super) fn max_seeds(&self) -> Option<u32> {
        self.max_seeds
    }

    /// Returns the default ramp settings.
    pub(in crate::model) fn alpha(&self) -> &AlphaSettings {
        &self.alpha
    }

    /// Returns the id of the seed for which a slot is reserved.
    pub(in crate::model) fn reserved_for(&self, index: usize) -> Option<&str> {
        let first = self.prefetches.iter().find(|prefetch| prefetch.index == index);
        first.map(|prefetch| prefetch.germinate.seed_id.as_str())
    }

    /// Returns the multiply-adds of a seed whose probe passed under this key.
    pub(super) fn probed(&self, key: &str) -> Option<u64> {
        self.probed.get(key).copied()
    }

    /// Caches a passed probe.
    pub(super) fn remember_probe(&mut self, key: String, multiply_adds: u64) {
        self.probed.insert(key, multiply_adds);
    }

    pub(super) fn reserve(&mut self, prefetch: Prefetch) {
        self.prefetches.push(prefetch);
    }

    /// Returns the prefetched germinations for a saved state; `name_of` maps slot indices to names.
    pub(in crate::model) fn state(&self, name_of: impl Fn(usize) -> String) -> Vec<PrefetchState> {
        let state = |p: &Prefetch| PrefetchState { slot: name_of(p.index), germinate: p.germinate.clone() };
        self.prefetches.iter().map(state).collect()
    }

    /// Replaces the prefetched germinations.
    pub(in crate::model) fn restore(&mut self, prefetches: Vec<Prefetch>) {
        self.prefetches = prefetches;
    }

    pub(super) fn take_prefetches(&mut self) -> Vec<Prefetch> {
        std::mem::take(&mut self.prefetches)
    }
}
