//! The policy that `periodic` and `heuristic` share: commands for living seeds, and how a new seed
//! germinates.

use super::Observation;
use crate::config::{RunConfig, bare_id};
use kasmina::lifecycle::{Stage, TempoUnit};
use kasmina::model::Germinate;
use kasmina::{Command, SlotReport};

/// The shared policy of the controllers that germinate by themselves.
#[derive(Debug, Clone)]
pub(super) struct SeedPolicy {
    config: RunConfig,
    /// Minimum number of epochs from germination to a decision in HOLDING.
    shortest_life: u32,
    /// Epochs in TRAINING after which a seed is pruned: as configured, but at least twice the epochs that G2
    /// requires. Otherwise a long run, in which G2 requires more epochs, would prune every seed.
    patience: u32,
}

impl SeedPolicy {
    pub(super) fn new(config: &RunConfig) -> Self {
        let training = config.effective_lifecycle().min_training_epochs();
        let rules = &config.lifecycle;
        // A ramp that counts steps may end within an epoch.
        let ramp = if config.alpha.unit == TempoUnit::Epoch { config.alpha.tempo } else { 1 };
        let blending = ramp.max(rules.gates.min_blending_epochs).saturating_add(rules.shadowing_epochs);
        // One epoch in GERMINATED, the training, the ramp (whose first tick ends its epoch at alpha 0), one
        // epoch to measure in HOLDING, and one more if the seed is built ahead.
        let shortest_life =
            training.saturating_add(blending).saturating_add(2 + u32::from(config.growth.prefetch));
        let patience = config.growth.max_training_epochs.max(training.saturating_mul(2));
        Self { config: config.clone(), shortest_life, patience }
    }

    /// Returns the fewest epochs of a run in which a seed can reach a decision in HOLDING.
    pub(super) fn shortest_run(&self) -> u32 {
        self.shortest_life.saturating_add(self.config.growth.first_epoch)
    }

    /// Advances seeds in HOLDING with a positive contribution to FOSSILIZED (G5 decides), and prunes seeds
    /// that stay in TRAINING for too long: they have no timeout, and would block the next germination.
    pub(super) fn commands(&self, observation: &Observation<'_>) -> Vec<Command> {
        observation.slots.iter().filter_map(|slot| self.command(slot)).collect()
    }

    fn command(&self, slot: &SlotReport) -> Option<Command> {
        match slot.stage {
            Stage::Holding if slot.contribution.is_some_and(|c| c > 0.0) => {
                Some(Command::Advance { slot: slot.slot.clone(), target: Some(Stage::Fossilized) })
            }
            Stage::Training if slot.epochs_in_stage >= self.patience => {
                let reason = "max_training_epochs".to_owned();
                Some(Command::Prune { slot: slot.slot.clone(), reason })
            }
            _ => None,
        }
    }

    /// Returns the configured germination for every slot.
    pub(super) fn rehearsals(&self, slots: &[String]) -> Vec<Germinate> {
        slots.iter().map(|slot| self.config.germination(slot, "rehearsal")).collect()
    }

    /// Returns a germination in the next free slot, if `max_seeds` and the remaining epochs allow it. Only
    /// one seed trains at a time, because the gates of two would count the same gain in accuracy.
    pub(super) fn germinate(&self, observation: &Observation<'_>) -> Option<Command> {
        let slots = observation.slots;
        let reserved = |s: &SlotReport| s.reserved.is_some();
        let occupied = slots.iter().filter(|s| s.seed_id.is_some() || reserved(s)).count();
        let incubating =
            slots.iter().any(|s| matches!(s.stage, Stage::Germinated | Stage::Training) || reserved(s));
        let time_left = observation.max_epochs.saturating_sub(observation.epoch);
        let early = observation.epoch < self.config.growth.first_epoch;
        if early || incubating || occupied >= self.config.max_seeds as usize || time_left < self.shortest_life
        {
            return None;
        }
        let slot = slots.iter().find(|s| s.is_free())?;
        let blueprint = bare_id(&self.config.blueprint);
        let seed_id = format!("{}-{blueprint}-{}", slot.slot, observation.germinated + 1);
        Some(Command::Germinate(self.config.germination(&slot.slot, seed_id)))
    }
}
