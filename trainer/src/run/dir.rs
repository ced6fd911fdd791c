//! The run directory: whole lines, flushed every epoch, and whole files, renamed into place.

use super::report::{CommandRow, EpochReport};
use super::summary::Summary;
use crate::config::RunConfig;
use crate::error::TrainError;
use kasmina::lifecycle::Event;
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
    /// Makes the directory and writes the configuration as resolved.
    ///
    /// # Errors
    /// If it holds a run already, or cannot be written.
    pub fn create(path: &Path, config: &RunConfig) -> Result<Self, TrainError> {
        let wrong = |reason: String| TrainError::RunDir { path: path.to_owned(), reason };
        let io = |e: std::io::Error| wrong(e.to_string());
        std::fs::create_dir_all(path).map_err(io)?;
        if path.join("config.toml").exists() {
            return Err(wrong("it holds a run already".to_owned()));
        }
        let text = toml::to_string(config).map_err(|e| wrong(e.to_string()))?;
        write_whole(&path.join("config.toml"), text.as_bytes()).map_err(io)?;
        let open = |name: &str| File::create(path.join(name)).map(BufWriter::new).map_err(io);
        Ok(Self {
            path: path.to_owned(),
            metrics: open("metrics.jsonl")?,
            events: open("events.jsonl")?,
            commands: open("commands.jsonl")?,
        })
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
        line(&mut self.metrics, report)?;
        for event in events {
            line(&mut self.events, &EventRow { epoch: report.epoch, event })?;
        }
        for command in commands {
            line(&mut self.commands, command)?;
        }
        self.metrics.flush()?;
        self.events.flush()?;
        self.commands.flush()
    }

    pub(super) fn write_summary(&self, summary: &Summary) -> Result<(), TrainError> {
        let wrong = |reason: String| TrainError::RunDir { path: self.path.clone(), reason };
        let mut text = serde_json::to_string_pretty(summary).map_err(|e| wrong(e.to_string()))?;
        text.push('\n');
        write_whole(&self.path.join("summary.json"), text.as_bytes()).map_err(|e| wrong(e.to_string()))
    }
}

fn line(out: &mut impl Write, value: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Written aside, then renamed: there is never half a file of that name.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut aside = tempfile::NamedTempFile::new_in(folder)?;
    aside.write_all(bytes)?;
    aside.as_file().sync_all()?;
    aside.persist(path)?;
    Ok(())
}
