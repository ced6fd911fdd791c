//! Do what a journal says: a recorded run's `commands.jsonl`, or one written by hand.

use super::{Controller, Observation};
use crate::error::TrainError;
use crate::run::journal;
use kasmina::Command;
use kasmina::model::Germinate;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Issues the commands of a journal at their epochs, whatever it sees.
#[derive(Debug)]
pub struct Scripted {
    commands: BTreeMap<u32, Vec<Command>>,
}

/// A line of the journal; what came of the command then is read past.
#[derive(Deserialize)]
struct Line {
    epoch: u32,
    #[serde(flatten)]
    command: Command,
    /// A germination that was asked for earlier and landed now: it lands by itself this time too.
    #[serde(default)]
    landed: bool,
}

impl Scripted {
    /// Reads a journal.
    ///
    /// # Errors
    /// If it cannot be read; the message names the line.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let mut commands: BTreeMap<u32, Vec<Command>> = BTreeMap::new();
        for line in journal::lines::<Line>(path)?.into_iter().filter(|line| !line.landed) {
            commands.entry(line.epoch).or_default().push(line.command);
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
