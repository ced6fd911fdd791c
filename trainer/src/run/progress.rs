//! Where a run stands, and what it goes on from.

use super::checkpoint::{Position, Restored};
use super::live_journal::Repeats;
use kasmina_torch_ext::rng::RngState;
use std::collections::BTreeMap;

/// Where a run stands in its data, and what it brings from before an interruption.
#[derive(Debug)]
pub(super) struct Progress {
    /// Position of the run between two steps.
    pub(super) position: Position,
    /// The generators in the middle of the epoch that goes on; none where an epoch begins.
    pub(super) generators: Option<RngState>,
    /// What was done to the live run after the checkpoint, and is done again.
    pub(super) repeats: Repeats,
    /// The step at which something was last done to the live run, and how much was.
    acts: (u64, usize),
    /// Seconds that the run had taken before.
    pub(super) seconds: f64,
    /// The run directory that goes on; none for a new run.
    pub(super) restored: Option<Restored>,
    /// SHA-256 of everything that the run reads besides plugins, by what it is.
    pub(super) inputs: BTreeMap<String, String>,
}

impl Progress {
    /// Progress before the first step.
    pub(super) fn new() -> Self {
        Self {
            position: Position::START,
            generators: None,
            repeats: Repeats::default(),
            acts: (0, 0),
            seconds: 0.0,
            restored: None,
            inputs: BTreeMap::new(),
        }
    }

    /// Notes that something was done to the live run at a step.
    pub(super) fn note_act(&mut self, step: u64) {
        self.acts = (step, self.acts_done(step) + 1);
    }

    /// How much was done to the live run at a step.
    pub(super) fn acts_done(&self, step: u64) -> usize {
        if self.acts.0 == step { self.acts.1 } else { 0 }
    }

    /// Goes on at a step at which so much was done.
    pub(super) fn set_acts(&mut self, step: u64, done: usize) {
        self.acts = (step, done);
    }
}
