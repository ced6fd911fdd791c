//! What every controller does with the seeds that live already, and how a new one is asked for.

use super::Observation;
use crate::config::{RunConfig, short};
use kasmina::lifecycle::{Stage, TempoUnit};
use kasmina::model::Germinate;
use kasmina::{Command, SlotReport};

/// The part of a configuration that the policy needs.
#[derive(Debug, Clone)]
pub(super) struct SeedPolicy {
    config: RunConfig,
    /// Epochs from germination to a decision in HOLDING, at the least.
    shortest_life: u32,
    /// Epochs in TRAINING after which a seed is given up: as configured, but never before it has had twice
    /// the time that G2 asks for, or a long run would give every seed up.
    patience: u32,
}

impl SeedPolicy {
    pub(super) fn new(config: &RunConfig) -> Self {
        let training = config.effective_lifecycle().min_training_epochs();
        let rules = &config.lifecycle;
        // A ramp that counts steps may be over within an epoch.
        let ramp = if config.alpha.unit == TempoUnit::Epoch { config.alpha.tempo } else { 1 };
        let blending = ramp.max(rules.gates.min_blending_epochs).saturating_add(rules.shadowing_epochs);
        // One epoch GERMINATED, training, the ramp (its epoch at alpha 0 ends in the first tick), one to
        // measure in HOLDING; and the one in which it is made ready ahead.
        let shortest_life =
            training.saturating_add(blending).saturating_add(2 + u32::from(config.growth.prefetch));
        let patience = config.growth.max_training_epochs.max(training.saturating_mul(2));
        Self { config: config.clone(), shortest_life, patience }
    }

    /// The fewest epochs in which a run can see a seed through.
    pub(super) fn shortest_run(&self) -> u32 {
        self.shortest_life.saturating_add(self.config.growth.first_epoch)
    }

    /// Asks for FOSSILIZED where HOLDING has a useful measurement (G5 decides), and gives a seed up that does
    /// not get out of TRAINING: nothing else would end it, and it would block the next one.
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

    /// The germination of this configuration, in every slot.
    pub(super) fn rehearsals(&self, slots: &[String]) -> Vec<Germinate> {
        slots.iter().map(|slot| self.config.germination(slot, "rehearsal")).collect()
    }

    /// A germination in the next empty slot, if there is room for one and time to see it through. One seed
    /// trains at a time: two would share the same gain of the host in their gates.
    pub(super) fn germinate(&self, observation: &Observation<'_>) -> Option<Command> {
        let slots = observation.slots;
        let coming = |s: &SlotReport| s.reserved.is_some();
        let occupied = slots.iter().filter(|s| s.seed_id.is_some() || coming(s)).count();
        let incubating =
            slots.iter().any(|s| matches!(s.stage, Stage::Germinated | Stage::Training) || coming(s));
        let time_left = observation.max_epochs.saturating_sub(observation.epoch);
        let early = observation.epoch < self.config.growth.first_epoch;
        if early || incubating || occupied >= self.config.max_seeds as usize || time_left < self.shortest_life
        {
            return None;
        }
        let slot = slots.iter().find(|s| s.is_free())?;
        let blueprint = short(&self.config.blueprint);
        let seed_id = format!("{}-{blueprint}-{}", slot.slot, observation.germinated + 1);
        Some(Command::Germinate(self.config.germination(&slot.slot, seed_id)))
    }
}
