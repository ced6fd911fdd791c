//! Acts on a live run from outside (swaps and prunes), which a resumed run repeats.

use crate::error::TrainError;
use kasmina_records::{LIVE_JOURNAL, LiveAct, LiveRow};
use kasmina_registry::Staged;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

/// Acts that a resumed run has yet to repeat, oldest first.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    rows: VecDeque<LiveRow>,
    /// Opened builds that will be swapped in again, by the SHA-256 of their file.
    builds: BTreeMap<String, Staged>,
}

impl Repeats {
    /// Reads the acts from step `from_step` on, without the first `done` acts of that step.
    pub(super) fn read(run: &Path, from_step: u64, done: usize) -> Result<Self, TrainError> {
        let path = run.join(LIVE_JOURNAL);
        if !path.exists() {
            return Ok(Self::default());
        }
        let mut rows = kasmina_records::lines::<LiveRow>(&path)
            .map_err(|reason| TrainError::Journal { path: path.clone(), reason })?;
        // After a resume, new rows are appended after rows of later steps that it has yet to repeat.
        rows.sort_by_key(|row| row.step);
        let done = rows.iter().filter(|row| row.step < from_step).count() + done;
        Ok(Self { rows: rows.into_iter().skip(done).collect(), builds: BTreeMap::new() })
    }

    /// Returns the acts that are yet to be repeated.
    pub(super) fn acts(&self) -> impl Iterator<Item = &LiveAct> {
        self.rows.iter().map(|row| &row.act)
    }

    /// Adds an opened build, by the SHA-256 of its file.
    pub(super) fn add_build(&mut self, sha256: String, staged: Staged) {
        self.builds.insert(sha256, staged);
    }

    /// Returns the opened build with a SHA-256.
    pub(super) fn build(&self, sha256: &str) -> Option<&Staged> {
        self.builds.get(sha256)
    }

    /// Takes out the next act that is due after `step` training steps.
    pub(super) fn due(&mut self, step: u64) -> Option<LiveRow> {
        self.rows.pop_front_if(|row| row.step <= step)
    }
}
