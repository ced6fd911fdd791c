//! The run directory. Its journals contain complete lines, and its other files are replaced by renames, so
//! that none is ever half-written.

use super::journals::{Journal, JournalLengths};
use super::last_try::LastTry;
use super::lock::RunLock;
use crate::config::RunConfig;
use crate::error::TrainError;
use kasmina::lifecycle::Event;
use kasmina_files::{limit, read_text, write_whole};
use kasmina_records::{
    COMMANDS, CommandRow, EVENTS, EpochReport, EventLine, LIVE_JOURNAL, LiveRow, METRICS, SlotInfo, Summary,
};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// The run directory of a run, owned by this process.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    metrics: Journal,
    events: Journal,
    commands: Journal,
    live: Journal,
    lock: RunLock,
}

impl RunDir {
    /// Creates the directory and its journals, and writes the resolved configuration and the slots of the
    /// model.
    ///
    /// # Errors
    /// If the directory already contains a run, another process owns it, or it cannot be written.
    pub fn create(path: &Path, config: &RunConfig, slots: &[SlotInfo]) -> Result<Self, TrainError> {
        let wrong = |reason: String| TrainError::RunDir { path: path.to_owned(), reason };
        let io = |e: std::io::Error| wrong(e.to_string());
        let is_new = !path.exists();
        std::fs::create_dir_all(path).map_err(io)?;
        if path.join("config.toml").exists() {
            return Err(TrainError::HoldsARun { path: path.to_owned(), unfinished: is_unfinished(path) });
        }
        let lock = RunLock::take(path)?;
        // Only one of two processes can create this file, even on a file system without locks.
        write_config(path, config, false).map_err(|e| {
            if e.kind() == std::io::ErrorKind::AlreadyExists {
                TrainError::HoldsARun { path: path.to_owned(), unfinished: is_unfinished(path) }
            } else {
                io(e)
            }
        })?;
        // After an error only the files that this process has made are removed.
        let mut made = vec![path.join("config.toml")];
        Self::create_files(path, slots, lock, &mut made).map_err(|(file, error)| {
            for file in &made {
                let _ = std::fs::remove_file(file);
            }
            if is_new {
                let _ = std::fs::remove_dir(path);
            }
            let file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match error.kind() {
                std::io::ErrorKind::AlreadyExists => wrong(format!("it already contains a {file}")),
                _ => wrong(format!("its {file} cannot be written: {error}")),
            }
        })
    }

    /// Removes the files that [`create`](Self::create) has made, after a later failure.
    pub(super) fn discard(path: &Path) {
        for name in ["config.toml", "slots.json", METRICS, EVENTS, COMMANDS, LIVE_JOURNAL] {
            let _ = std::fs::remove_file(path.join(name));
        }
    }

    fn create_files(
        path: &Path,
        slots: &[SlotInfo],
        lock: RunLock,
        made: &mut Vec<PathBuf>,
    ) -> Result<Self, (PathBuf, std::io::Error)> {
        let file = path.join("slots.json");
        let written =
            serde_json::to_string_pretty(slots).map_err(std::io::Error::from).and_then(|mut text| {
                text.push('\n');
                write_whole(&file, text.as_bytes(), false)
            });
        written.map_err(|error| (file.clone(), error))?;
        made.push(file);
        let mut open = |name: &str| -> Result<Journal, (PathBuf, std::io::Error)> {
            let file = path.join(name);
            let journal = Journal::create(&file).map_err(|error| (file.clone(), error))?;
            made.push(file);
            Ok(journal)
        };
        let (metrics, events) = (open(METRICS)?, open(EVENTS)?);
        let (commands, live) = (open(COMMANDS)?, open(LIVE_JOURNAL)?);
        Ok(Self { path: path.to_owned(), metrics, events, commands, live, lock })
    }

    /// Reopens the directory of a resumed run. The journals are truncated to `lengths`; the run writes the
    /// later rows again.
    ///
    /// # Errors
    /// If a journal is shorter than its length, or cannot be written.
    pub(super) fn reopen(path: &Path, lengths: JournalLengths, lock: RunLock) -> Result<Self, TrainError> {
        let open = |name: &str, length: u64| {
            let wrong =
                |e: std::io::Error| TrainError::Journal { path: path.join(name), reason: e.to_string() };
            Journal::reopen(&path.join(name), length).map_err(wrong)
        };
        let live = std::fs::metadata(path.join(LIVE_JOURNAL)).map_or(0, |found| found.len());
        let dir = Self {
            path: path.to_owned(),
            metrics: open(METRICS, lengths.metrics)?,
            events: open(EVENTS, lengths.events)?,
            commands: open(COMMANDS, lengths.commands)?,
            live: open(LIVE_JOURNAL, live)?,
            lock,
        };
        // The summary describes the earlier end of the run.
        let _ = std::fs::remove_file(path.join("summary.json"));
        Ok(dir)
    }

    /// Closes the journals and returns the lock.
    pub(super) fn into_lock(self) -> RunLock {
        self.lock
    }

    /// Truncates the journals to these lengths.
    ///
    /// # Errors
    /// If a journal is shorter than its length, or cannot be written.
    pub(super) fn truncate(&mut self, lengths: JournalLengths) -> Result<(), TrainError> {
        let JournalLengths { metrics, events, commands } = lengths;
        let all = [(&mut self.metrics, metrics), (&mut self.events, events), (&mut self.commands, commands)];
        for (journal, length) in all {
            journal
                .truncate(length)
                .map_err(|(path, e)| TrainError::Journal { path, reason: e.to_string() })?;
        }
        Ok(())
    }

    /// Path of the run directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the events and commands before the first epoch.
    pub(super) fn begin(&mut self, events: &[Event], commands: &[CommandRow]) {
        self.write_rows(0, events, commands);
    }

    /// Writes the rows of one epoch into the journals.
    pub(super) fn append(&mut self, report: &EpochReport, events: &[Event], commands: &[CommandRow]) {
        self.write_rows(report.epoch, events, commands);
        // Written last: an epoch counts as complete once this line is.
        self.metrics.push(report);
        self.metrics.flush();
    }

    /// Writes the rows of events and commands.
    fn write_rows(&mut self, epoch: u32, events: &[Event], commands: &[CommandRow]) {
        for event in events {
            self.events.push(&EventLine { epoch, event: event.clone() });
        }
        for command in commands {
            self.commands.push(command);
        }
        self.events.flush();
        self.commands.flush();
    }

    /// Writes an act on the live run before it is executed, and waits until the row is on the disk, so that a
    /// resumed run can repeat it.
    pub(super) fn write_ahead(&mut self, row: &LiveRow) {
        self.live.push(row);
        self.live.flush();
        if let Err(error) = self.live.synchronise() {
            tracing::warn!("{} cannot be synchronised: {error}", self.path.join(LIVE_JOURNAL).display());
        }
    }

    /// Returns the lengths of the journals and handles to them; `None` while lines could not be written.
    pub(super) fn journals(&mut self) -> Option<(JournalLengths, Vec<File>)> {
        for journal in [&mut self.metrics, &mut self.events, &mut self.commands, &mut self.live] {
            journal.flush();
        }
        let lengths = JournalLengths {
            metrics: self.metrics.length()?,
            events: self.events.length()?,
            commands: self.commands.length()?,
        };
        self.live.length()?;
        let all = [&self.metrics, &self.events, &self.commands, &self.live];
        let handles = all.into_iter().map(Journal::handle).collect::<Result<_, _>>().ok()?;
        Some((lengths, handles))
    }

    /// Writes the last events and the summary. On a disk error it tries again for a while.
    pub(super) fn finish(
        &mut self,
        events: &[Event],
        summary: &Summary,
        stop: &AtomicBool,
    ) -> Result<(), TrainError> {
        self.write_rows(summary.epochs + 1, events, &[]);
        let wrong = |reason: String| TrainError::RunDir { path: self.path.clone(), reason };
        let mut text = serde_json::to_string_pretty(summary).map_err(|e| wrong(e.to_string()))?;
        text.push('\n');
        let path = self.path.join("summary.json");
        let last_try = LastTry::begin(stop);
        loop {
            let written = [&mut self.metrics, &mut self.events, &mut self.commands, &mut self.live]
                .into_iter()
                .try_for_each(Journal::finish)
                .and_then(|()| write_whole(&path, text.as_bytes(), true));
            match written {
                Ok(()) => return Ok(()),
                Err(error) if last_try.wait(&error.to_string()) => {}
                Err(error) => {
                    return Err(TrainError::RunDir { path: self.path.clone(), reason: error.to_string() });
                }
            }
        }
    }
}

/// Writes `config.toml`. An existing file is an error unless `replace` is set.
pub(super) fn write_config(path: &Path, config: &RunConfig, replace: bool) -> std::io::Result<()> {
    let text = toml::to_string(config).map_err(std::io::Error::other)?;
    write_whole(&path.join("config.toml"), text.as_bytes(), replace)
}

/// Whether the directory contains a run that has checkpoints and has not completed.
fn is_unfinished(path: &Path) -> bool {
    let summary = read_text(&path.join("summary.json"), limit::CONFIG).unwrap_or_default();
    let status = serde_json::from_str::<serde_json::Value>(&summary).unwrap_or_default();
    let checkpoints = kasmina_checkpoint::list(&path.join(kasmina_checkpoint::FOLDER));
    status["status"] != "completed" && checkpoints.is_ok_and(|all| !all.is_empty())
}
