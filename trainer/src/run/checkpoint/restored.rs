//! Reopening the directory of a resumed run, or making that of a branch.

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

/// The directory of a resumed run, before it is reopened.
#[derive(Debug)]
pub(crate) struct Restored {
    /// Run directory that contains the checkpoint.
    pub(super) run: PathBuf,
    /// Directory that the resumed run writes to: `run`, or that of a branch.
    pub(super) target: PathBuf,
    pub(super) checkpoint: Checkpoint,
    /// Lengths of the journals when the checkpoint was written.
    pub(super) lengths: JournalLengths,
    /// Lock of `run`; `None` for a branch.
    pub(super) lock: Option<RunLock>,
    pub(super) resume: ResumeRow,
    /// Number of training steps before the checkpoint.
    pub(crate) step: u64,
    /// Time at which the resume began.
    pub(super) begun: Instant,
}

impl Restored {
    /// Reopens the run directory at the checkpoint, or creates the directory of a branch.
    pub(crate) fn reopen(self, config: &RunConfig, slots: &[SlotInfo]) -> Result<RunDir, TrainError> {
        let Self { run, target, checkpoint, lengths, lock, resume, begun, step } = self;
        let wrong = |e: std::io::Error| TrainError::RunDir { path: target.clone(), reason: e.to_string() };
        let lock = if let Some(lock) = lock {
            // The row that confirms the overrides is written before the configuration that they change.
            add_line(&target.join(RESUMES), &resume).map_err(wrong)?;
            write_config(&target, config, true).map_err(wrong)?;
            kasmina_checkpoint::remove_newer(&checkpoint.path)?;
            lock
        } else {
            let lock = RunDir::create(&target, config, slots)?.into_lock();
            if let Err(error) = branch(&run, &target, &checkpoint, lengths) {
                // A partial directory would prevent another attempt.
                drop(lock);
                RunDir::discard(&target);
                return Err(error);
            }
            add_line(&target.join(RESUMES), &resume).map_err(wrong)?;
            lock
        };
        let dir = RunDir::reopen(&target, lengths, lock)?;
        let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
        tracing::debug!(step, milliseconds, "ready to resume");
        Ok(dir)
    }
}

/// Appends a row to a file and waits until it is on the disk.
fn add_line(path: &Path, row: &ResumeRow) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(row)?;
    line.push(b'\n');
    let mut file = open_own(path, true)?;
    file.write_all(&line)?;
    file.sync_all()
}

/// Copies the checkpoint, the journals and the plugins into the directory of a branch. The original run may
/// be training meanwhile.
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

/// Copies the files of a folder to another folder.
fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        copy_into(&entry.path(), &mut make_new(&to.join(entry.file_name()))?)?;
    }
    Ok(())
}

/// Copies a regular file. A pipe or a device is an error, because reading it might block.
fn copy_into(from: &Path, to: &mut File) -> std::io::Result<()> {
    std::io::copy(&mut open_regular(from)?, to).map(drop)
}
