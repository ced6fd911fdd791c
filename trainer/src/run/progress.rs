//! Where a run stands, and what it goes on from.

use super::checkpoint::{Position, Restored};
use super::live_journal::Repeats;
use kasmina_torch_ext::rng::RngState;
use std::collections::BTreeMap;

/// Where a run stands in its data, and what it brings from before an interruption.
#[derive(Debug)]
pub(super) struct Progress {
    /// Lasts between two steps.
    pub(super) position: Position,
    /// The generators in the middle of the epoch that goes on; none where an epoch begins.
    pub(super) generators: Option<RngState>,
    /// What was done to the live run after the checkpoint, and is done again.
    pub(super) repeats: Repeats,
    /// Seconds that the run had taken before.
    pub(super) seconds: f64,
    /// The run directory that goes on; none for a new run.
    pub(super) restored: Option<Restored>,
    /// SHA-256 of everything that the run reads besides plugins, by what it is.
    pub(super) inputs: BTreeMap<String, String>,
}

impl Progress {
    /// Before anything was done.
    pub(super) fn new() -> Self {
        Self {
            position: Position::START,
            generators: None,
            repeats: Repeats::default(),
            seconds: 0.0,
            restored: None,
            inputs: BTreeMap::new(),
        }
    }
}
