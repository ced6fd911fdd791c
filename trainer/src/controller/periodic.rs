//! Grow by the calendar: the baseline that waiting for a plateau does not beat (G2 wants the host to improve,
//! and on a plateau it does not).

use super::seed_policy::SeedPolicy;
use super::{Controller, Observation};
use crate::config::{GrowthConfig, RunConfig};
use kasmina::Command;
use kasmina::model::Germinate;

/// Germinates every few epochs, from a first one on.
#[derive(Debug)]
pub struct Periodic {
    policy: SeedPolicy,
    growth: GrowthConfig,
}

impl Periodic {
    /// Creates the controller of a configuration.
    pub fn new(config: &RunConfig) -> Self {
        Self { policy: SeedPolicy::new(config), growth: config.growth.clone() }
    }
}

impl Controller for Periodic {
    fn id(&self) -> &'static str {
        "periodic"
    }

    fn rehearsals(&self, slots: &[String]) -> Vec<Germinate> {
        self.policy.rehearsals(slots)
    }

    fn shortest_run(&self) -> Option<u32> {
        Some(self.policy.shortest_run())
    }

    fn decide(&mut self, observation: &Observation<'_>) -> Vec<Command> {
        let mut commands = self.policy.commands(observation);
        let since_first = observation.epoch.checked_sub(self.growth.first_epoch);
        if since_first.is_some_and(|n| n.is_multiple_of(self.growth.every)) {
            commands.extend(self.policy.germinate(observation));
        }
        commands
    }
}
