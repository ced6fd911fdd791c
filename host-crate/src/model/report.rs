//! What a person or a controller sees of a slot.

use super::MorphogeneticModel;
use crate::graft::{SeedSlot, count};
use crate::lifecycle::{AlphaMode, Gate, GateResult, Percent, Stage};
use serde::Serialize;

/// One slot at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SlotReport {
    /// Name of the slot.
    pub slot: String,
    /// Other names of the slot.
    pub aliases: Vec<String>,
    /// Stage of the slot's seed; DORMANT for an empty slot.
    pub stage: Stage,
    /// The seed, if one lives here.
    pub seed_id: Option<String>,
    /// Full name of the blueprint, `plugin::id`.
    pub blueprint: Option<String>,
    /// Full name of the blend, `plugin::id`.
    pub blend: Option<String>,
    /// How much of the seed is in the output.
    pub alpha: f64,
    /// Alpha at the end of the present ramp.
    pub alpha_target: f64,
    /// Direction in which alpha moves.
    pub alpha_mode: AlphaMode,
    /// Why the seed is on its way out, if a prune is scheduled.
    pub scheduled_prune: Option<String>,
    /// The seed that is being made ready for this slot.
    pub reserved: Option<String>,
    /// What the gate before the next stage would say now; its score is a feature for controllers.
    pub next_gate: Option<GateResult>,
    /// Validations since the stage began.
    pub epochs_in_stage: u32,
    /// Validations since germination.
    pub epochs_total: u32,
    /// Accuracy gained in this stage, percent points.
    pub improvement: f64,
    /// What the seed is worth, if measured in this stage.
    pub contribution: Option<f64>,
    /// Its gradient activity, if measured in this stage.
    pub gradient_ratio: Option<f64>,
    /// Whether its numbers are finite.
    pub healthy: bool,
    /// Captures in which it leaked into isolated host layers.
    pub isolation_violations: u32,
    /// Whether its input is detached.
    pub isolated: bool,
    /// Trainable parameters of seed and gate.
    pub parameters: u64,
}

impl SlotReport {
    /// The score of a gate, if it is the one before the next stage.
    pub fn gate_score(&self, gate: Gate) -> Option<f64> {
        self.next_gate.as_ref().filter(|result| result.gate == gate).map(|result| result.score)
    }
    /// Whether a seed may germinate here now.
    pub fn is_free(&self) -> bool {
        self.stage == Stage::Dormant && self.reserved.is_none()
    }
}

impl MorphogeneticModel {
    /// Every slot, in the order of forward.
    pub fn reports(&self) -> Vec<SlotReport> {
        self.slots
            .iter()
            .enumerate()
            .map(|(index, slot)| {
                let (lifecycle, entries) = (slot.lifecycle(), slot.entries());
                let seed = lifecycle.seed();
                SlotReport {
                    slot: slot.name().to_owned(),
                    aliases: slot.spec().aliases.clone(),
                    stage: lifecycle.stage(),
                    seed_id: lifecycle.living().map(|s| s.seed_id.clone()),
                    blueprint: entries.map(|(blueprint, _)| blueprint.full_name()),
                    blend: entries.map(|(_, blend)| blend.full_name()),
                    alpha: lifecycle.alpha(),
                    alpha_target: seed.map_or(0.0, |s| s.alpha.target()),
                    alpha_mode: seed.map_or(AlphaMode::Hold, |s| s.alpha.mode()),
                    scheduled_prune: seed.and_then(|s| s.scheduled_prune.clone()),
                    reserved: self.growth.reserved_for(index).map(str::to_owned),
                    next_gate: lifecycle.preview(),
                    epochs_in_stage: seed.map_or(0, |s| s.epochs_in_stage),
                    epochs_total: seed.map_or(0, |s| s.epochs_total),
                    improvement: seed.map_or(0.0, |s| s.metrics.improvement_since_stage_start().get()),
                    contribution: seed.and_then(|s| s.metrics.counterfactual_contribution).map(Percent::get),
                    gradient_ratio: seed.and_then(|s| s.metrics.gradient_ratio()),
                    healthy: seed.is_none_or(|s| s.metrics.healthy),
                    isolation_violations: seed.map_or(0, |s| s.metrics.isolation_violations),
                    isolated: slot.is_isolated(),
                    parameters: count(slot.parameters()),
                }
            })
            .collect()
    }

    /// Trainable parameters of the host alone.
    pub fn host_parameter_count(&self) -> u64 {
        count(self.host_parameters())
    }
    /// Multiply-adds of one forward of what runs now, per sample: those of convolutions, matrix products and
    /// attention in the host and in the seeds of active stages. A training step takes about three times as
    /// many.
    pub fn active_multiply_adds(&self) -> u64 {
        let active = self.slots.iter().filter(|s| s.lifecycle().stage().is_active());
        let seeds = active.filter_map(SeedSlot::live).map(|live| live.seed().multiply_adds());
        self.network.multiply_adds + seeds.sum::<u64>()
    }
    /// Trainable parameters of host and living seeds.
    pub fn parameter_count(&self) -> u64 {
        self.host_parameter_count() + count(self.seed_parameters())
    }
}
