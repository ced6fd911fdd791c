//! The controller `periodic`: germinates at fixed intervals. Waiting for a plateau does not beat this
//! baseline, because G2 requires the network to improve, which it does not on a plateau.

use super::seed_policy::SeedPolicy;
use super::{Controller, Observation};
use crate::config::{GrowthConfig, RunConfig};
use kasmina::Command;
use kasmina::model::Germinate;

/// Controller that germinates every few epochs, beginning with a first epoch.
#[derive(Debug)]
pub struct Periodic {
    policy: SeedPolicy,
    growth: GrowthConfig,
}

impl Periodic {
    /// Creates the controller from a configuration.
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
