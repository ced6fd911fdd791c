//! Reports on slots for users and controllers, and counts of parameters.

use super::MorphogeneticModel;
use crate::graft::{SeedSlot, count};
use crate::lifecycle::{AlphaMode, Gate, GateResult, Percent, Stage};
use serde::Serialize;

/// State of one slot at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SlotReport {
    /// Name of the slot.
    pub slot: String,
    /// Other names of the slot.
    pub aliases: Vec<String>,
    /// Stage of the slot's seed; DORMANT for an empty slot.
    pub stage: Stage,
    /// Id of the seed; `None` for an empty slot.
    pub seed_id: Option<String>,
    /// Full name of the blueprint, `plugin::id`; `None` for an empty slot.
    pub blueprint: Option<String>,
    /// Full name of the blend, `plugin::id`; `None` for an empty slot.
    pub blend: Option<String>,
    /// Alpha of the lifecycle, in `0..=1`.
    pub alpha: f64,
    /// Alpha at the end of the present ramp.
    pub alpha_target: f64,
    /// Direction in which alpha moves.
    pub alpha_mode: AlphaMode,
    /// Reason of a scheduled prune; `None` if none is scheduled.
    pub scheduled_prune: Option<String>,
    /// Id of the seed whose prefetched germination has reserved the slot.
    pub reserved: Option<String>,
    /// Result that the next gate would have now; controllers use its score.
    pub next_gate: Option<GateResult>,
    /// Validations since the stage began.
    pub epochs_in_stage: u32,
    /// Validations since germination.
    pub epochs_total: u32,
    /// Gain of validation accuracy in this stage, in percentage points.
    pub improvement: f64,
    /// Counterfactual contribution in percentage points; `None` if not measured in this stage.
    pub contribution: Option<f64>,
    /// Gradient ratio of seed and host; `None` if not measured in this stage.
    pub gradient_ratio: Option<f64>,
    /// Whether outputs and gradients of the seed are finite.
    pub healthy: bool,
    /// Number of failed shadow checks.
    pub isolation_violations: u32,
    /// Whether the input of the seed is detached.
    pub isolated: bool,
    /// Number of trainable parameter elements of seed and blend.
    pub parameters: u64,
}

impl SlotReport {
    /// Returns the score of `gate`; `None` unless it is the next gate.
    pub fn gate_score(&self, gate: Gate) -> Option<f64> {
        self.next_gate.as_ref().filter(|result| result.gate == gate).map(|result| result.score)
    }
    /// Whether the slot is empty and not reserved, so that a seed can germinate.
    pub fn is_free(&self) -> bool {
        self.stage == Stage::Dormant && self.reserved.is_none()
    }
}

impl MorphogeneticModel {
    /// Returns a report on every slot, in the order in which forward visits them.
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

    /// Returns the number of trainable parameter elements of the host.
    pub fn host_parameter_count(&self) -> u64 {
        count(self.host_parameters())
    }
    /// Returns the multiply-adds of one forward, per sample: those of convolutions, matrix products and
    /// attention in the host and in seeds of active stages. A training step takes about three times as many.
    pub fn active_multiply_adds(&self) -> u64 {
        let active = self.slots.iter().filter(|s| s.lifecycle().stage().is_active());
        let seeds = active.filter_map(SeedSlot::live).map(|live| live.seed().multiply_adds());
        self.network.multiply_adds + seeds.sum::<u64>()
    }
    /// Returns the number of trainable parameter elements of host, seeds and blends.
    pub fn parameter_count(&self) -> u64 {
        self.host_parameter_count() + count(self.seed_parameters())
    }
}
