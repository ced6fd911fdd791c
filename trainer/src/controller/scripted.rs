//! The controller `scripted`: gives the commands of a journal, a recorded `commands.jsonl` or one written by
//! hand.

use super::{Controller, Observation};
use crate::error::TrainError;
use kasmina::Command;
use kasmina::model::Germinate;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::path::Path;

/// Controller that gives the commands of a journal at their epochs, independently of the observation.
#[derive(Debug)]
pub struct Scripted {
    commands: BTreeMap<u32, Vec<Command>>,
}

/// A line of the journal. The recorded outcome of the command is ignored; any other unknown field is an
/// error.
#[derive(Deserialize)]
struct Line {
    epoch: u32,
    /// Whether the row records a command that another part of the run gives again by itself: a prefetched
    /// germination, a preinstalled seed or the prune of an unhealthy seed.
    #[serde(default)]
    landed: bool,
    #[serde(default, rename = "slot_id")]
    _slot_id: IgnoredAny,
    #[serde(default, rename = "accepted")]
    _accepted: IgnoredAny,
    #[serde(default, rename = "did")]
    _did: IgnoredAny,
    #[serde(default, rename = "error")]
    _error: IgnoredAny,
    #[serde(flatten)]
    command: Command,
}

impl Scripted {
    /// Reads the journal at `path`, which may also be a run directory, for a run of `epochs` epochs.
    ///
    /// # Errors
    /// If it cannot be read, or a line is invalid; the message names the line.
    pub fn read(path: &Path, epochs: u32) -> Result<Self, TrainError> {
        let path = if path.is_dir() { path.join(kasmina_records::COMMANDS) } else { path.to_owned() };
        let mut commands: BTreeMap<u32, Vec<Command>> = BTreeMap::new();
        let wrong = |reason| TrainError::Script { path: path.clone(), reason };
        for line in
            kasmina_records::lines::<Line>(&path).map_err(wrong)?.into_iter().filter(|line| !line.landed)
        {
            if line.epoch == 0 {
                return Err(wrong("it has a command for epoch 0; epochs count from 1".to_owned()));
            }
            commands.entry(line.epoch).or_default().push(line.command);
        }
        let late: usize = commands.range(epochs + 1..).map(|(_, late)| late.len()).sum();
        if late > 0 {
            tracing::warn!(
                "{late} commands of the script are for epochs after the run's last epoch {epochs}"
            );
        }
        Ok(Self { commands })
    }
}

impl Controller for Scripted {
    fn id(&self) -> &'static str {
        "scripted"
    }

    /// Returns nothing: a germination that was refused in the recorded run must be refused again, and not
    /// prevent the start of the run.
    fn rehearsals(&self, _slots: &[String]) -> Vec<Germinate> {
        Vec::new()
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Vec<Command> {
        self.commands.remove(&observation.epoch).unwrap_or_default()
    }
}
