//! The position of a run, and the state of a resumed run that is not restored yet.

use super::checkpoint::{Position, Restored};
use super::live_journal::Repeats;
use kasmina_torch_ext::rng::RngState;
use std::collections::BTreeMap;

/// The position of a run in its data, and what a resumed run has from before the interruption.
#[derive(Debug)]
pub(super) struct Progress {
    /// Position of the run between two steps.
    pub(super) position: Position,
    /// Generators to restore in the middle of a resumed epoch; `None` at the beginning of an epoch.
    pub(super) generators: Option<RngState>,
    /// Whether the restored generators and streams are those of this rank, not those of rank 0.
    pub(super) own_state: bool,
    /// Acts on the live run after the checkpoint, which are repeated.
    pub(super) repeats: Repeats,
    /// Step of the last act on the live run, and the number of acts at that step.
    acts: (u64, usize),
    /// Wall-clock time of the run before it was resumed, in seconds.
    pub(super) seconds: f64,
    /// Directory of a resumed run until it is reopened; `None` for a new run.
    pub(super) restored: Option<Restored>,
    /// SHA-256 of the data and the other files that the run reads, except plugins, by their names in
    /// messages.
    pub(super) inputs: BTreeMap<String, String>,
}

impl Progress {
    /// Progress before the first step.
    pub(super) fn new() -> Self {
        Self {
            position: Position::START,
            generators: None,
            own_state: true,
            repeats: Repeats::default(),
            acts: (0, 0),
            seconds: 0.0,
            restored: None,
            inputs: BTreeMap::new(),
        }
    }

    /// Counts an act on the live run at a step.
    pub(super) fn count_act(&mut self, step: u64) {
        self.acts = (step, self.acts_done(step) + 1);
    }

    /// Returns the number of acts on the live run at a step.
    pub(super) fn acts_done(&self, step: u64) -> usize {
        if self.acts.0 == step { self.acts.1 } else { 0 }
    }

    /// Sets the number of acts that were done at a step.
    pub(super) fn set_acts(&mut self, step: u64, done: usize) {
        self.acts = (step, done);
    }
}
