//! The run directory: journals of whole lines, and whole files, renamed into place.

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

/// The files of one run, which this process owns.
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
    /// Makes the directory and writes the configuration as resolved, and the slots of the model.
    ///
    /// # Errors
    /// If it holds a run already, another process owns it, or it cannot be written.
    pub fn create(path: &Path, config: &RunConfig, slots: &[SlotInfo]) -> Result<Self, TrainError> {
        let wrong = |reason: String| TrainError::RunDir { path: path.to_owned(), reason };
        let io = |e: std::io::Error| wrong(e.to_string());
        let is_new = !path.exists();
        std::fs::create_dir_all(path).map_err(io)?;
        if path.join("config.toml").exists() {
            return Err(TrainError::HoldsARun { path: path.to_owned(), unfinished: is_unfinished(path) });
        }
        let lock = RunLock::take(path)?;
        // Whoever makes this file owns the directory; two runs cannot both.
        write_config(path, config, false).map_err(|e| {
            if e.kind() == std::io::ErrorKind::AlreadyExists {
                TrainError::HoldsARun { path: path.to_owned(), unfinished: is_unfinished(path) }
            } else {
                io(e)
            }
        })?;
        // Only what this process has made goes away again when something fails.
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
                std::io::ErrorKind::AlreadyExists => wrong(format!("it has a {file} already")),
                _ => wrong(format!("its {file} cannot be written: {error}")),
            }
        })
    }

    /// Removes what [`create`](Self::create) has made in a directory, after a failure behind it.
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

    /// Goes on in a directory that this process owns: what its journals hold behind these lengths goes away,
    /// and is written again.
    ///
    /// # Errors
    /// If a journal is shorter than it was, or cannot be written.
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
        // It told how the run had ended.
        let _ = std::fs::remove_file(path.join("summary.json"));
        Ok(dir)
    }

    /// Closes the journals and returns the lock.
    pub(super) fn into_lock(self) -> RunLock {
        self.lock
    }

    /// Takes the journals back to these lengths.
    ///
    /// # Errors
    /// If a journal is shorter, or cannot be written.
    pub(super) fn cut(&mut self, lengths: JournalLengths) -> Result<(), TrainError> {
        let JournalLengths { metrics, events, commands } = lengths;
        let all = [(&mut self.metrics, metrics), (&mut self.events, events), (&mut self.commands, commands)];
        for (journal, length) in all {
            journal.cut(length).map_err(|(path, e)| TrainError::Journal { path, reason: e.to_string() })?;
        }
        Ok(())
    }

    /// Path of the run directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the rows of what happened before the first epoch.
    pub(super) fn begin(&mut self, events: &[Event], commands: &[CommandRow]) {
        self.tell(0, events, commands);
    }

    /// Writes the rows of one epoch into the journals.
    pub(super) fn append(&mut self, report: &EpochReport, events: &[Event], commands: &[CommandRow]) {
        self.tell(report.epoch, events, commands);
        // Last: an epoch counts once this line is whole.
        self.metrics.push(report);
        self.metrics.flush();
    }

    fn tell(&mut self, epoch: u32, events: &[Event], commands: &[CommandRow]) {
        for event in events {
            self.events.push(&EventLine { epoch, event: event.clone() });
        }
        for command in commands {
            self.commands.push(command);
        }
        self.events.flush();
        self.commands.flush();
    }

    /// Writes down what is about to be done to the live run, and waits until it is on the disk: what a
    /// resumed run does not know of, it cannot do again.
    pub(super) fn write_ahead(&mut self, row: &LiveRow) {
        self.live.push(row);
        self.live.flush();
        if let Err(error) = self.live.synchronise() {
            tracing::warn!("{}: {error}", self.path.join(LIVE_JOURNAL).display());
        }
    }

    /// The lengths of the journals and handles on them; `None` while lines wait for room on the disk.
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

    /// Writes the last events and the summary. It waits for a while for a disk that is full.
    pub(super) fn finish(
        &mut self,
        events: &[Event],
        summary: &Summary,
        stop: &AtomicBool,
    ) -> Result<(), TrainError> {
        self.tell(summary.epochs + 1, events, &[]);
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
                Err(error) if last_try.waits(&error.to_string()) => {}
                Err(error) => {
                    return Err(TrainError::RunDir { path: self.path.clone(), reason: error.to_string() });
                }
            }
        }
    }
}

/// Writes the configuration of a run.
pub(super) fn write_config(path: &Path, config: &RunConfig, replace: bool) -> std::io::Result<()> {
    let text = toml::to_string(config).map_err(std::io::Error::other)?;
    write_whole(&path.join("config.toml"), text.as_bytes(), replace)
}

/// Whether a run lies there that has checkpoints and did not complete.
fn is_unfinished(path: &Path) -> bool {
    let summary = read_text(&path.join("summary.json"), limit::CONFIG).unwrap_or_default();
    let status = serde_json::from_str::<serde_json::Value>(&summary).unwrap_or_default();
    let checkpoints = kasmina_checkpoint::list(&path.join(kasmina_checkpoint::FOLDER));
    status["status"] != "completed" && checkpoints.is_ok_and(|all| !all.is_empty())
}
