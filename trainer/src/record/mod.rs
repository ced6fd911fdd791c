//! A recorded run, read back: decided again under other thresholds, and explained.

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

/// Everything that a run directory tells of the decisions of a run, killed ones included.
#[derive(Debug)]
pub struct Record {
    /// Configuration of the run, with defaults filled in.
    pub config: RunConfig,
    /// The slots, in the order of forward.
    pub slots: Vec<SlotInfo>,
    /// Rows of the epochs that were trained to their end.
    pub epochs: Vec<EpochReport>,
    /// Events of those epochs.
    pub events: Vec<EventLine>,
    /// Commands of those epochs.
    pub commands: Vec<CommandRow>,
    /// How the run ended, if not by doing all its epochs.
    pub unfinished: Option<String>,
}

impl Record {
    /// Reads a run directory.
    ///
    /// # Errors
    /// If it is none, or a line of it cannot be read.
    pub fn read(dir: &Path) -> Result<Self, TrainError> {
        if !dir.join("config.toml").is_file() {
            let reason = "this is no run directory: it holds no config.toml".to_owned();
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
                "line {} is epoch {}; epoch {} is due",
                line + 1,
                report.epoch,
                line + 1
            )));
        }
        let mut events: Vec<EventLine> = lines(dir, EVENTS)?;
        let mut commands: Vec<CommandRow> = lines(dir, COMMANDS)?;
        // A kill may have caught one epoch half written, whose own line comes last; more than one is damage.
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

    /// A slot by its name or one of its aliases.
    ///
    /// # Errors
    /// If the run had none such.
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

/// How a run ended, if not by doing all its epochs.
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
        None => {
            Some(format!("The run has written no summary: it is still going, or was killed, {of}.{next}"))
        }
    }
}

/// A sentence on the newest checkpoint of a run, if it has one.
fn last_checkpoint(dir: &Path) -> String {
    let all = kasmina_checkpoint::list(&dir.join(kasmina_checkpoint::FOLDER)).unwrap_or_default();
    let newest = all.into_iter().rev().find_map(|listed| listed.manifest.ok());
    newest.map_or_else(String::new, |manifest| {
        let (epoch, step) = (manifest.about.epoch, manifest.about.step);
        let dir = dir.display();
        format!(
            " Its last checkpoint is of epoch {epoch}, step {step}; `kasmina train --resume {dir}` goes on from there."
        )
    })
}

/// Thresholds of a TOML file over others: what the file does not say stays as it is. The file holds them
/// bare, or under `[lifecycle.gates]` as a run's configuration does.
///
/// # Errors
/// If it cannot be read, says something unknown, or is out of bounds.
pub fn gates_from_file(path: &Path, over: &QualityGates) -> Result<QualityGates, TrainError> {
    let wrong = |reason: String| TrainError::Gates { path: path.to_owned(), reason };
    let text = read_text(path, limit::CONFIG).map_err(|e| wrong(e.to_string()))?;
    let told = |e: toml::de::Error| wrong(e.to_string().trim_end().to_owned());
    let whole: toml::Table = text.parse().map_err(told)?;
    let inner = whole.get("lifecycle").and_then(|l| l.get("gates")).or_else(|| whole.get("gates"));
    let given = if let Some(toml::Value::Table(gates)) = inner {
        gates.clone()
    } else {
        // Read once by itself, so that a mistake is told with its line.
        let _: QualityGates = toml::from_str(&text).map_err(told)?;
        whole
    };
    let mut gates = toml::Table::try_from(over).map_err(|e| wrong(e.to_string()))?;
    gates.extend(given);
    let gates: QualityGates = gates.try_into().map_err(|e: toml::de::Error| wrong(e.to_string()))?;
    gates.validate().map_err(|e| wrong(e.to_string()))?;
    Ok(gates)
}
