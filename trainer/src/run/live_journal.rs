//! `control.jsonl`: what was done to a live run from outside, with the step, so that a run that goes on from a checkpoint
//! does it again.

use kasmina_registry::Staged;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use super::journal;
use crate::error::TrainError;

/// The journal's name in a run directory.
pub const LIVE_JOURNAL: &str = "control.jsonl";

/// Something that was done to a live run, written down before it acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRow {
    /// Optimizer steps that were made before it.
    pub step: u64,
    /// What it was.
    #[serde(flatten)]
    pub act: LiveAct,
}

/// What can be done to a live run so that its results are others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum LiveAct {
    /// The seed of a slot is to be removed at the end of the epoch.
    Prune {
        /// Slot, by name or alias.
        slot: String,
    },
    /// Another build of a plugin comes.
    Swap {
        /// Its file.
        path: PathBuf,
        /// The plugin's name.
        plugin: String,
        /// SHA-256 of the file in hexadecimal digits.
        sha256: String,
    },
    /// A build was refused before it could come.
    Refused {
        /// Its file.
        path: PathBuf,
        /// The rule that it breaks.
        rule: String,
        /// Why.
        error: String,
    },
}

/// What a run that goes on has still to do again, oldest first.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    rows: VecDeque<LiveRow>,
    /// The builds that are swapped in again, by the hash of their file.
    builds: BTreeMap<String, Staged>,
}

impl Repeats {
    /// What was done from a step on.
    pub(super) fn read(run: &Path, from_step: u64) -> Result<Self, TrainError> {
        let path = run.join(LIVE_JOURNAL);
        if !path.exists() {
            return Ok(Self::default());
        }
        let rows = journal::lines::<LiveRow>(&path)
            .map_err(|reason| TrainError::Journal { path: path.clone(), reason })?;
        let rows = rows.into_iter().filter(|row| row.step >= from_step).collect();
        Ok(Self { rows, builds: BTreeMap::new() })
    }

    /// Everything that is done again.
    pub(super) fn acts(&self) -> impl Iterator<Item = &LiveAct> {
        self.rows.iter().map(|row| &row.act)
    }

    /// Keeps an opened build until its time has come.
    pub(super) fn open(&mut self, sha256: String, staged: Staged) {
        self.builds.insert(sha256, staged);
    }

    /// The opened build of a file.
    pub(super) fn build(&self, sha256: &str) -> Option<&Staged> {
        self.builds.get(sha256)
    }

    /// The next that is due after so many steps.
    pub(super) fn due(&mut self, step: u64) -> Option<LiveRow> {
        self.rows.pop_front_if(|row| row.step <= step)
    }
}
