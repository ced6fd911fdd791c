//! What growth keeps between two commands.

use crate::lifecycle::AlphaSettings;
use crate::model::Germinate;
use kasmina_registry::RegistryError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::thread::JoinHandle;

/// A thread that checks the configurations of a germination.
pub(super) type Worker = JoinHandle<Result<(), RegistryError>>;

/// A germination that was being made ready ahead when a state was kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefetchState {
    /// Name of the slot.
    pub slot: String,
    /// As it was asked for.
    pub germinate: Germinate,
}

/// A germination that is made ready ahead.
#[derive(Debug)]
pub(in crate::model) struct Prefetch {
    /// As it was asked for.
    pub(super) germinate: Germinate,
    /// The position of the slot.
    pub(super) index: usize,
    pub(super) worker: Worker,
}

/// The settings of growth, and what it remembers.
#[derive(Debug)]
pub(in crate::model) struct Growth {
    /// The run's seed; every initial weight follows from it and from names.
    seed: u64,
    /// How many seeds may live at the same time, fossilized ones included; no limit if `None`.
    max_seeds: Option<u32>,
    /// How alpha moves where a germination does not say otherwise.
    alpha: AlphaSettings,
    /// Multiply-adds per sample of what has passed its probe, by everything that the probe depends on. A
    /// cache: made again by probing.
    probed: BTreeMap<String, u64>,
    /// In the order in which they were asked for. They last until the next edge of an epoch.
    prefetches: Vec<Prefetch>,
}

impl Growth {
    pub(in crate::model) fn new(seed: u64, max_seeds: Option<u32>, alpha: AlphaSettings) -> Self {
        Self { seed, max_seeds, alpha, probed: BTreeMap::new(), prefetches: Vec::new() }
    }

    /// Seed of the run's random generators.
    pub(in crate::model) fn seed(&self) -> u64 {
        self.seed
    }

    /// How many seeds may live at the same time.
    pub(super) fn max_seeds(&self) -> Option<u32> {
        self.max_seeds
    }

    /// How alpha moves where a germination does not say otherwise.
    pub(in crate::model) fn alpha(&self) -> &AlphaSettings {
        &self.alpha
    }

    /// The name of the seed for which a slot is reserved.
    pub(in crate::model) fn reserved_for(&self, index: usize) -> Option<&str> {
        let first = self.prefetches.iter().find(|prefetch| prefetch.index == index);
        first.map(|prefetch| prefetch.germinate.seed_id.as_str())
    }

    /// The multiply-adds of what has passed its probe under this key.
    pub(super) fn probed(&self, key: &str) -> Option<u64> {
        self.probed.get(key).copied()
    }

    /// Stores that a probe passed, so that it is not repeated.
    pub(super) fn remember_probe(&mut self, key: String, multiply_adds: u64) {
        self.probed.insert(key, multiply_adds);
    }

    pub(super) fn reserve(&mut self, prefetch: Prefetch) {
        self.prefetches.push(prefetch);
    }

    /// The germinations that are being made ready, with the names of their slots.
    pub(in crate::model) fn state(&self, name_of: impl Fn(usize) -> String) -> Vec<PrefetchState> {
        let state = |p: &Prefetch| PrefetchState { slot: name_of(p.index), germinate: p.germinate.clone() };
        self.prefetches.iter().map(state).collect()
    }

    /// Goes on with these germinations.
    pub(in crate::model) fn restore(&mut self, prefetches: Vec<Prefetch>) {
        self.prefetches = prefetches;
    }

    pub(super) fn take_prefetches(&mut self) -> Vec<Prefetch> {
        std::mem::take(&mut self.prefetches)
    }
}
