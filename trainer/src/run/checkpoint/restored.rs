//! The directory of a run that goes on.

use super::open::{RESUMES, ResumeRow};
use crate::config::RunConfig;
use crate::error::TrainError;
use crate::run::dir::{RunDir, write_config};
use crate::run::journals::JournalLengths;
use crate::run::lock::RunLock;
use kasmina_records::SlotInfo;
use kasmina_registry::stored;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where a run that goes on writes.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(super) run: PathBuf,
    pub(super) target: PathBuf,
    pub(super) checkpoint: PathBuf,
    pub(super) lengths: JournalLengths,
    pub(super) lock: Option<RunLock>,
    pub(super) resume: ResumeRow,
    /// Steps that were made.
    pub(crate) step: u64,
    /// When the resume began.
    pub(super) begun: Instant,
}

impl Restored {
    /// Makes the run directory one that goes on from the checkpoint.
    pub(crate) fn reopen(self, config: &RunConfig, slots: &[SlotInfo]) -> Result<RunDir, TrainError> {
        let Self { run, target, checkpoint, lengths, lock, resume, begun, step } = self;
        let wrong = |e: std::io::Error| TrainError::RunDir { path: target.clone(), reason: e.to_string() };
        let lock = if let Some(lock) = lock {
            write_config(&target, config, true).map_err(wrong)?;
            lock
        } else {
            let lock = RunDir::create(&target, config, slots)?.into_lock();
            branch(&run, &target, &checkpoint).map_err(wrong)?;
            lock
        };
        let dir = RunDir::reopen(&target, lengths, lock)?;
        let path = target.join(RESUMES);
        let mut line = serde_json::to_vec(&resume).unwrap_or_default();
        line.push(b'\n');
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut f| f.write_all(&line))
            .map_err(wrong)?;
        let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
        tracing::debug!(step, milliseconds, "ready to go on");
        Ok(dir)
    }
}

/// Copies what a branch begins with. The original is only read.
fn branch(run: &Path, target: &Path, checkpoint: &Path) -> std::io::Result<()> {
    for name in ["metrics.jsonl", "events.jsonl", "commands.jsonl"] {
        std::fs::copy(run.join(name), target.join(name))?;
    }
    let name = checkpoint.file_name().unwrap_or_default();
    copy_all(checkpoint, &target.join(kasmina_checkpoint::FOLDER).join(name))?;
    let plugins = run.join(stored::FOLDER);
    if plugins.is_dir() { copy_all(&plugins, &target.join(stored::FOLDER)) } else { Ok(()) }
}

fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
