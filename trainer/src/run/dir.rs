//! The run directory: whole lines, flushed every epoch, and whole files, renamed into place.

use super::report::{CommandRow, EpochReport, SlotInfo};
use super::summary::Summary;
use crate::config::RunConfig;
use crate::error::TrainError;
use kasmina::lifecycle::Event;
use kasmina_registry::files::write_whole;
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// The files of one run.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    metrics: BufWriter<File>,
    events: BufWriter<File>,
    commands: BufWriter<File>,
}

#[derive(Serialize)]
struct EventRow<'a> {
    epoch: u32,
    #[serde(flatten)]
    event: &'a Event,
}

impl RunDir {
    /// Makes the directory and writes the configuration as resolved, and the slots of the model.
    ///
    /// # Errors
    /// If it holds a run already, or cannot be written.
    pub fn create(path: &Path, config: &RunConfig, slots: &[SlotInfo]) -> Result<Self, TrainError> {
        let wrong = |reason: String| TrainError::RunDir { path: path.to_owned(), reason };
        let io = |e: std::io::Error| wrong(e.to_string());
        std::fs::create_dir_all(path).map_err(io)?;
        let text = toml::to_string(config).map_err(|e| wrong(e.to_string()))?;
        // Whoever makes this file owns the directory; two runs cannot both.
        write_whole(&path.join("config.toml"), text.as_bytes(), false).map_err(|e| {
            if e.kind() == std::io::ErrorKind::AlreadyExists {
                wrong("it holds a run already".to_owned())
            } else {
                io(e)
            }
        })?;
        let mut structure = serde_json::to_string_pretty(slots).map_err(|e| wrong(e.to_string()))?;
        structure.push('\n');
        let structure = write_whole(&path.join("slots.json"), structure.as_bytes(), true);
        let open = |name: &str| File::create(path.join(name)).map(BufWriter::new).map_err(io);
        let logs = (open("metrics.jsonl"), open("events.jsonl"), open("commands.jsonl"));
        if let ((Ok(metrics), Ok(events), Ok(commands)), Ok(())) = (logs, structure) {
            return Ok(Self { path: path.to_owned(), metrics, events, commands });
        }
        // Not half a run: the next try must not find one.
        let _ = std::fs::remove_file(path.join("config.toml"));
        Err(wrong("its files cannot be written".to_owned()))
    }

    /// What was before the first epoch.
    pub(super) fn begin(&mut self, events: &[Event], commands: &[CommandRow]) -> Result<(), TrainError> {
        self.told(0, events, commands)
            .map_err(|e| TrainError::RunDir { path: self.path.clone(), reason: e.to_string() })
    }

    pub(super) fn append(
        &mut self,
        report: &EpochReport,
        events: &[Event],
        commands: &[CommandRow],
    ) -> Result<(), TrainError> {
        self.write(report, events, commands)
            .map_err(|e| TrainError::RunDir { path: self.path.clone(), reason: e.to_string() })
    }

    fn write(
        &mut self,
        report: &EpochReport,
        events: &[Event],
        commands: &[CommandRow],
    ) -> std::io::Result<()> {
        self.told(report.epoch, events, commands)?;
        // Last: an epoch counts once this line is whole.
        line(&mut self.metrics, report)?;
        self.metrics.flush()
    }

    fn told(&mut self, epoch: u32, events: &[Event], commands: &[CommandRow]) -> std::io::Result<()> {
        for event in events {
            line(&mut self.events, &EventRow { epoch, event })?;
        }
        for command in commands {
            line(&mut self.commands, command)?;
        }
        self.events.flush()?;
        self.commands.flush()
    }

    /// The last events and the summary.
    pub(super) fn finish(&mut self, events: &[Event], summary: &Summary) -> Result<(), TrainError> {
        let epoch = summary.epochs + 1;
        let wrote = events.iter().try_for_each(|event| line(&mut self.events, &EventRow { epoch, event }));
        let wrong = |reason: String| TrainError::RunDir { path: self.path.clone(), reason };
        let mut text = serde_json::to_string_pretty(summary).map_err(|e| wrong(e.to_string()))?;
        text.push('\n');
        wrote
            .and_then(|()| self.events.flush())
            .and_then(|()| write_whole(&self.path.join("summary.json"), text.as_bytes(), true))
            .map_err(|e| wrong(e.to_string()))
    }
}

fn line(out: &mut impl Write, value: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}
