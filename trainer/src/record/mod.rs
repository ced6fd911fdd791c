//! A recorded run, read back: decided again under other thresholds, and explained.

mod explain;
mod replay;
mod words;

pub use explain::{Explanation, LastGate, explain};
pub use replay::{Divergence, Replay, SlotReplay, replay};
pub use words::Finding;

use crate::config::RunConfig;
use crate::error::TrainError;
use crate::run::{CommandRow, EpochReport, SlotInfo, journal};
use kasmina::lifecycle::{Event, QualityGates};
use serde::Deserialize;
use std::path::Path;

/// Everything that a run directory tells of the decisions of a run, killed ones included.
#[derive(Debug)]
pub struct Record {
    /// As resolved.
    pub config: RunConfig,
    /// The slots, in the order of forward.
    pub slots: Vec<SlotInfo>,
    /// Whole epochs.
    pub epochs: Vec<EpochReport>,
    /// Events of those epochs.
    pub events: Vec<EventLine>,
    /// Commands of those epochs.
    pub commands: Vec<CommandRow>,
}

/// A line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct EventLine {
    /// At the end of this epoch.
    pub epoch: u32,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl Record {
    /// Reads a run directory.
    ///
    /// # Errors
    /// If it is none, or a line of it cannot be read.
    pub fn read(dir: &Path) -> Result<Self, TrainError> {
        let config = RunConfig::from_file(&dir.join("config.toml"))?;
        let path = dir.join("slots.json");
        let wrong = |reason: String| TrainError::Journal { path: path.clone(), reason };
        let text = std::fs::read_to_string(&path).map_err(|e| wrong(e.to_string()))?;
        let slots = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        let epochs: Vec<EpochReport> = journal::lines(&dir.join("metrics.jsonl"))?;
        let last = epochs.last().map_or(0, |e| e.epoch);
        let mut events: Vec<EventLine> = journal::lines(&dir.join("events.jsonl"))?;
        let mut commands: Vec<CommandRow> = journal::lines(&dir.join("commands.jsonl"))?;
        // A kill may have caught an epoch half written; the epoch's own line comes last.
        events.retain(|e| e.epoch <= last);
        commands.retain(|c| c.epoch <= last);
        Ok(Self { config, slots, epochs, events, commands })
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

/// Thresholds of a TOML file over others: what the file does not say stays as it is.
///
/// # Errors
/// If it cannot be read, says something unknown, or is out of bounds.
pub fn gates_from_file(path: &Path, over: &QualityGates) -> Result<QualityGates, TrainError> {
    let wrong = |reason: String| TrainError::Config { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    // Read once by itself, so that a mistake is told with its line.
    let _: QualityGates = toml::from_str(&text).map_err(|e| wrong(e.to_string().trim_end().to_owned()))?;
    let mut gates = toml::Table::try_from(over).map_err(|e| wrong(e.to_string()))?;
    gates.extend(text.parse::<toml::Table>().map_err(|e| wrong(e.to_string()))?);
    let gates: QualityGates = gates.try_into().map_err(|e: toml::de::Error| wrong(e.to_string()))?;
    gates.validate().map_err(|e| wrong(e.to_string()))?;
    Ok(gates)
}
