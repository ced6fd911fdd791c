//! The directory of a run that goes on.

use super::open::{RESUMES, ResumeRow};
use crate::config::RunConfig;
use crate::error::TrainError;
use crate::run::dir::{RunDir, write_config};
use crate::run::journals::JournalLengths;
use crate::run::lock::RunLock;
use kasmina_checkpoint::Checkpoint;
use kasmina_files::{make_new, open_own, open_regular};
use kasmina_records::SlotInfo;
use kasmina_registry::stored;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where a run that goes on writes.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(super) run: PathBuf,
    pub(super) target: PathBuf,
    pub(super) checkpoint: Checkpoint,
    pub(super) lengths: JournalLengths,
    pub(super) lock: Option<RunLock>,
    pub(super) resume: ResumeRow,
    /// Optimizer steps that were made before.
    pub(crate) step: u64,
    /// Time at which the resume began.
    pub(super) begun: Instant,
}

impl Restored {
    /// Makes the run directory one that goes on from the checkpoint.
    pub(crate) fn reopen(self, config: &RunConfig, slots: &[SlotInfo]) -> Result<RunDir, TrainError> {
        let Self { run, target, checkpoint, lengths, lock, resume, begun, step } = self;
        let wrong = |e: std::io::Error| TrainError::RunDir { path: target.clone(), reason: e.to_string() };
        let lock = if let Some(lock) = lock {
            // First what was asked for, then the settings that it has changed.
            add_line(&target.join(RESUMES), &resume).map_err(wrong)?;
            write_config(&target, config, true).map_err(wrong)?;
            kasmina_checkpoint::remove_newer(&checkpoint.path)?;
            lock
        } else {
            let lock = RunDir::create(&target, config, slots)?.into_lock();
            if let Err(error) = branch(&run, &target, &checkpoint, lengths) {
                // Not half a run: the next try must not find one.
                drop(lock);
                RunDir::discard(&target);
                return Err(error);
            }
            add_line(&target.join(RESUMES), &resume).map_err(wrong)?;
            lock
        };
        let dir = RunDir::reopen(&target, lengths, lock)?;
        let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
        tracing::debug!(step, milliseconds, "ready to go on");
        Ok(dir)
    }
}

/// Adds a line to a file and waits until it is on the disk.
fn add_line(path: &Path, row: &ResumeRow) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(row)?;
    line.push(b'\n');
    let mut file = open_own(path, true)?;
    file.write_all(&line)?;
    file.sync_all()
}

/// Copies what a branch begins with. The original is only read, and may go on meanwhile.
fn branch(
    run: &Path,
    target: &Path,
    checkpoint: &Checkpoint,
    lengths: JournalLengths,
) -> Result<(), TrainError> {
    let wrong = |e: std::io::Error| TrainError::RunDir { path: target.to_owned(), reason: e.to_string() };
    checkpoint.write_to(&target.join(kasmina_checkpoint::FOLDER))?;
    for (name, _) in lengths.named() {
        // The journals of the branch were just created and are empty.
        let mut journal = open_own(&target.join(name), false).map_err(wrong)?;
        copy_into(&run.join(name), &mut journal).map_err(wrong)?;
    }
    let plugins = run.join(stored::FOLDER);
    if plugins.is_dir() { copy_all(&plugins, &target.join(stored::FOLDER)).map_err(wrong) } else { Ok(()) }
}

fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        copy_into(&entry.path(), &mut make_new(&to.join(entry.file_name()))?)?;
    }
    Ok(())
}

/// Copies a regular file. A pipe or a device of that name is an error and not waited for.
fn copy_into(from: &Path, to: &mut File) -> std::io::Result<()> {
    std::io::copy(&mut open_regular(from)?, to).map(drop)
}
