//! Do what a journal says: a recorded run's `commands.jsonl`, or one written by hand.

use super::{Controller, Observation};
use crate::error::TrainError;
use kasmina::Command;
use kasmina::model::Germinate;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::path::Path;

/// Issues the commands of a journal at their epochs, whatever it sees.
#[derive(Debug)]
pub struct Scripted {
    commands: BTreeMap<u32, Vec<Command>>,
}

/// A line of the journal. What came of the command then is read past; anything else that is no part of the
/// command is an error.
#[derive(Deserialize)]
struct Line {
    epoch: u32,
    /// A germination that was asked for earlier and landed now: it lands by itself this time too.
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
    /// Reads a journal, or the one of a run directory, for a run of so many epochs.
    ///
    /// # Errors
    /// If it cannot be read, or says something unknown; the message names the line.
    pub fn read(path: &Path, epochs: u32) -> Result<Self, TrainError> {
        let path = if path.is_dir() { path.join(kasmina_records::COMMANDS) } else { path.to_owned() };
        let mut commands: BTreeMap<u32, Vec<Command>> = BTreeMap::new();
        let wrong = |reason| TrainError::Script { path: path.clone(), reason };
        for line in
            kasmina_records::lines::<Line>(&path).map_err(wrong)?.into_iter().filter(|line| !line.landed)
        {
            if line.epoch == 0 {
                return Err(wrong("a command is for epoch 0; epochs count from 1".to_owned()));
            }
            commands.entry(line.epoch).or_default().push(line.command);
        }
        let late: usize = commands.range(epochs + 1..).map(|(_, late)| late.len()).sum();
        if late > 0 {
            tracing::warn!("{late} commands of the script are for epochs after this run's last, {epochs}");
        }
        Ok(Self { commands })
    }
}

impl Controller for Scripted {
    fn id(&self) -> &'static str {
        "scripted"
    }

    /// None: what was refused when it was recorded is to be refused again, not to keep the run from starting.
    fn rehearsals(&self, _slots: &[String]) -> Vec<Germinate> {
        Vec::new()
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Vec<Command> {
        self.commands.remove(&observation.epoch).unwrap_or_default()
    }
}
