//! Reading the record of a run, replaying its decisions with other thresholds, and explaining its slots.

mod explain;
mod findings;
mod replay;

pub use explain::{Explanation, LastGate, explain};
pub use findings::Finding;
pub use kasmina_records::EventLine;
pub use replay::{Divergence, Replay, SlotReplay, replay};

use crate::config::RunConfig;
use crate::error::TrainError;
use kasmina::lifecycle::QualityGates;
use kasmina_files::{limit, read, read_text};
use kasmina_records::{COMMANDS, CommandRow, EVENTS, EpochReport, METRICS, SlotInfo, Status, Summary};
use serde::de::DeserializeOwned;
use std::path::Path;

/// The record of a run's decisions, read from its run directory. The run may have been killed.
#[derive(Debug)]
pub struct Record {
    /// Configuration of the run, with defaults filled in.
    pub config: RunConfig,
    /// The slots, in the order in which the host's forward visits them.
    pub slots: Vec<SlotInfo>,
    /// Rows of the complete epochs.
    pub epochs: Vec<EpochReport>,
    /// Events of those epochs.
    pub events: Vec<EventLine>,
    /// Commands of those epochs.
    pub commands: Vec<CommandRow>,
    /// A sentence on how the run ended; `None` if it completed.
    pub unfinished: Option<String>,
}

impl Record {
    /// Reads a run directory.
    ///
    /// # Errors
    /// If it is not a run directory, or a line of a journal cannot be read.
    pub fn read(dir: &Path) -> Result<Self, TrainError> {
        if !dir.join("config.toml").is_file() {
            let reason = "this is not a run directory: it contains no config.toml".to_owned();
            return Err(TrainError::Journal { path: dir.to_owned(), reason });
        }
        let config = RunConfig::from_file(&dir.join("config.toml"))?;
        let path = dir.join("slots.json");
        let wrong = |reason: String| TrainError::Journal { path: path.clone(), reason };
        let text = read_text(&path, limit::CONFIG).map_err(|e| wrong(e.to_string()))?;
        let slots = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        let epochs: Vec<EpochReport> = lines(dir, METRICS)?;
        let last = epochs.last().map_or(0, |e| e.epoch);
        let damaged = |reason: String| TrainError::Journal { path: dir.join(METRICS), reason };
        if let Some((line, report)) = epochs.iter().enumerate().find(|(i, e)| e.epoch as usize != i + 1) {
            return Err(damaged(format!(
                "line {} is epoch {}; epoch {} was expected",
                line + 1,
                report.epoch,
                line + 1
            )));
        }
        let mut events: Vec<EventLine> = lines(dir, EVENTS)?;
        let mut commands: Vec<CommandRow> = lines(dir, COMMANDS)?;
        // A kill may leave the events and commands of one epoch whose line in `metrics.jsonl`, which is
        // written last, is missing. More than one such epoch means damage.
        let reach = events.iter().map(|e| e.epoch).chain(commands.iter().map(|c| c.epoch)).max().unwrap_or(0);
        if reach > last + 1 {
            let text = format!("it ends at epoch {last}, but events and commands reach epoch {reach}");
            return Err(damaged(text));
        }
        events.retain(|e| e.epoch <= last);
        commands.retain(|c| c.epoch <= last);
        let unfinished = unfinished(dir, &config, last);
        Ok(Self { config, slots, epochs, events, commands, unfinished })
    }

    /// Returns the slot with a name or alias.
    ///
    /// # Errors
    /// If the run had no such slot.
    pub fn slot(&self, name: &str) -> Result<&SlotInfo, TrainError> {
        self.slots.iter().find(|s| s.slot == name || s.aliases.iter().any(|a| a == name)).ok_or_else(|| {
            let known = self.slots.iter().map(|s| s.slot.clone()).collect();
            TrainError::Unknown { what: "slot", name: name.to_owned(), known }
        })
    }
}

fn lines<T: DeserializeOwned>(dir: &Path, name: &str) -> Result<Vec<T>, TrainError> {
    let path = dir.join(name);
    kasmina_records::lines(&path).map_err(|reason| TrainError::Journal { path, reason })
}

/// Returns a sentence on how a run ended; `None` if it completed.
fn unfinished(dir: &Path, config: &RunConfig, epochs: u32) -> Option<String> {
    let of = format!("after {epochs} of {} epochs", config.epochs);
    let summary = read(&dir.join("summary.json"), limit::CONFIG).ok();
    let summary: Option<Summary> = summary.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let next = last_checkpoint(dir);
    match summary.map(|s| (s.status, s.error)) {
        Some((Status::Completed, _)) => None,
        Some((Status::Interrupted, _)) => Some(format!("The run was interrupted {of}.{next}")),
        Some((Status::Failed, error)) => Some(format!(
            "The run failed {of}: {}{next}",
            error.unwrap_or_else(|| "no reason given".to_owned())
        )),
        None => Some(format!("The run has no summary: it is still running, or was killed, {of}.{next}")),
    }
}

/// Returns a sentence on the newest checkpoint of a run, after a space; empty without a checkpoint.
fn last_checkpoint(dir: &Path) -> String {
    let all = kasmina_checkpoint::list(&dir.join(kasmina_checkpoint::FOLDER)).unwrap_or_default();
    let newest = all.into_iter().rev().find_map(|listed| listed.manifest.ok());
    newest.map_or_else(String::new, |manifest| {
        let (epoch, step) = (manifest.about.epoch, manifest.about.step);
        let dir = dir.display();
        format!(
            " Its last checkpoint is of epoch {epoch}, step {step}; `kasmina train --resume {dir}` continues from there."
        )
    })
}

/// Reads gate thresholds from a TOML file; those that it does not contain are taken from `over`. The file has
/// them at the top level, under `[gates]`, or under `[lifecycle.gates]` as the configuration of a run.
///
/// # Errors
/// If the file cannot be read, or a threshold is unknown or out of bounds.
pub fn gates_from_file(path: &Path, over: &QualityGates) -> Result<QualityGates, TrainError> {
    let wrong = |reason: String| TrainError::Gates { path: path.to_owned(), reason };
    let text = read_text(path, limit::CONFIG).map_err(|e| wrong(e.to_string()))?;
    let invalid = |e: toml::de::Error| wrong(e.to_string().trim_end().to_owned());
    let whole: toml::Table = text.parse().map_err(invalid)?;
    let inner = whole.get("lifecycle").and_then(|l| l.get("gates")).or_else(|| whole.get("gates"));
    let given = if let Some(toml::Value::Table(gates)) = inner {
        gates.clone()
    } else {
        // Parsed as text first, because only this error names the line of a mistake.
        let _: QualityGates = toml::from_str(&text).map_err(invalid)?;
        whole
    };
    let mut gates = toml::Table::try_from(over).map_err(|e| wrong(e.to_string()))?;
    gates.extend(given);
    let gates: QualityGates = gates.try_into().map_err(|e: toml::de::Error| wrong(e.to_string()))?;
    gates.validate().map_err(|e| wrong(e.to_string()))?;
    Ok(gates)
}
