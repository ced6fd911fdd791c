//! What was done to a live run from outside, and is done again by a run that goes on from a checkpoint.

use crate::error::TrainError;
use kasmina_records::{LIVE_JOURNAL, LiveAct, LiveRow};
use kasmina_registry::Staged;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

/// What a run that goes on has still to do again, oldest first.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    rows: VecDeque<LiveRow>,
    /// The builds that are swapped in again, by the hash of their file.
    builds: BTreeMap<String, Staged>,
}

impl Repeats {
    /// Reads the acts on the live run from step `from_step` on, without the first `done` acts of that step.
    pub(super) fn read(run: &Path, from_step: u64, done: usize) -> Result<Self, TrainError> {
        let path = run.join(LIVE_JOURNAL);
        if !path.exists() {
            return Ok(Self::default());
        }
        let mut rows = kasmina_records::lines::<LiveRow>(&path)
            .map_err(|reason| TrainError::Journal { path: path.clone(), reason })?;
        // What came after a resume stands behind what was still to be repeated then.
        rows.sort_by_key(|row| row.step);
        let done = rows.iter().filter(|row| row.step < from_step).count() + done;
        Ok(Self { rows: rows.into_iter().skip(done).collect(), builds: BTreeMap::new() })
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

    /// Takes out the next act that is due once `step` steps were made.
    pub(super) fn due(&mut self, step: u64) -> Option<LiveRow> {
        self.rows.pop_front_if(|row| row.step <= step)
    }
}
