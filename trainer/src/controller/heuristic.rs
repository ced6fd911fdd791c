//! The controller `heuristic`: germinates when the validation accuracy stops improving.

use super::seed_policy::SeedPolicy;
use super::{Controller, Observation};
use crate::config::{GrowthConfig, RunConfig};
use kasmina::Command;
use kasmina::model::Germinate;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Controller that germinates on a plateau of the validation accuracy.
#[derive(Debug)]
pub struct Heuristic {
    policy: SeedPolicy,
    growth: GrowthConfig,
    seen: Seen,
}

/// State of the controller between two decisions.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    /// Validation accuracy at the last decision, in percent.
    previous: Option<f64>,
    /// Number of decisions since the last progress.
    plateau: u32,
}

impl Heuristic {
    /// Creates the controller from a configuration.
    pub fn new(config: &RunConfig) -> Self {
        Self { policy: SeedPolicy::new(config), growth: config.growth.clone(), seen: Seen::default() }
    }
}

impl Controller for Heuristic {
    fn id(&self) -> &'static str {
        "heuristic"
    }

    fn rehearsals(&self, slots: &[String]) -> Vec<Germinate> {
        self.policy.rehearsals(slots)
    }

    fn shortest_run(&self) -> Option<u32> {
        Some(self.policy.shortest_run())
    }

    fn state(&self) -> Value {
        serde_json::to_value(self.seen).unwrap_or_default()
    }

    fn restore(&mut self, state: &Value) -> Result<(), String> {
        self.seen = Seen::deserialize(state).map_err(|e| e.to_string())?;
        Ok(())
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Vec<Command> {
        let progress =
            self.seen.previous.is_none_or(|p| observation.accuracy - p >= self.growth.plateau_threshold);
        self.seen.previous = Some(observation.accuracy);
        self.seen.plateau = if progress { 0 } else { self.seen.plateau + 1 };
        let mut commands = self.policy.commands(observation);
        if self.seen.plateau >= self.growth.plateau_epochs
            && let Some(command) = self.policy.germinate(observation)
        {
            self.seen.plateau = 0;
            commands.push(command);
        }
        commands
    }
}
