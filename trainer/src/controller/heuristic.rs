//! Grow when the host stops improving.

use super::tending::Tending;
use super::{Controller, Observation};
use crate::config::{GrowthConfig, RunConfig};
use kasmina::Command;
use kasmina::model::Germinate;

/// Germinates on a plateau of the validation accuracy.
#[derive(Debug)]
pub struct Heuristic {
    tending: Tending,
    growth: GrowthConfig,
    previous: Option<f64>,
    plateau: u32,
}

impl Heuristic {
    /// As configured.
    pub fn new(config: &RunConfig) -> Self {
        Self { tending: Tending::new(config), growth: config.growth.clone(), previous: None, plateau: 0 }
    }
}

impl Controller for Heuristic {
    fn id(&self) -> &'static str {
        "heuristic"
    }

    fn rehearsals(&self, slots: &[String]) -> Vec<Germinate> {
        self.tending.rehearsals(slots)
    }

    fn shortest_run(&self) -> Option<u32> {
        Some(self.tending.shortest_run())
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Vec<Command> {
        let progress =
            self.previous.is_none_or(|p| observation.accuracy - p >= self.growth.plateau_threshold);
        self.previous = Some(observation.accuracy);
        self.plateau = if progress { 0 } else { self.plateau + 1 };
        let mut commands = self.tending.tend(observation);
        if self.plateau >= self.growth.plateau_epochs
            && let Some(command) = self.tending.germinate(observation)
        {
            self.plateau = 0;
            commands.push(command);
        }
        commands
    }
}
