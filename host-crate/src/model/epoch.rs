//! The edge of an epoch: what was measured goes into the lifecycles, and they decide.

use super::{CounterfactualPlan, ModelError, MorphogeneticModel};
use crate::lifecycle::{GradientCapture, Outcome};
use kasmina_torch_ext::ParameterSink;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the trainer measured of the whole network.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochInputs<'a> {
    /// Validation accuracy in percent.
    pub accuracy: f64,
    /// The plan of the counterfactual pass.
    pub plan: &'a CounterfactualPlan,
    /// Accuracy without each slot of the plan, in percent.
    pub without: Vec<f64>,
}

/// The raw inputs that a slot's lifecycle was given in an epoch: enough to decide again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SlotInputs {
    /// Gradient captures, oldest first.
    pub gradients: Vec<GradientCapture>,
    /// What was said of its health, if anything.
    pub healthy: Option<bool>,
    /// Its contribution, if it was measured.
    pub contribution: Option<f64>,
    /// Trainable parameters of seed and gate.
    pub seed_params: u64,
}

/// What an epoch's end did to one slot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SlotOutcomes {
    /// Which slot.
    pub slot: String,
    /// What happened, in order.
    pub outcomes: Vec<Outcome>,
}

impl MorphogeneticModel {
    /// Reads the telemetry that queued on the device (this waits for it) and hands every slot its measurements.
    /// Answers with the raw inputs, by slot.
    ///
    /// # Errors
    /// If a number is out of its range, or libtorch fails.
    pub fn record_epoch(
        &mut self,
        inputs: &EpochInputs<'_>,
        now: u64,
    ) -> Result<BTreeMap<String, SlotInputs>, ModelError> {
        let mut raw = BTreeMap::new();
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            let name = slot.name().to_owned();
            let measured = slot.telemetry.materialise()?;
            let position = inputs.plan.slots.iter().position(|(s, _)| *s == index);
            let without = position.and_then(|p| inputs.without.get(p));
            let sane = |c: &GradientCapture| c.seed_norm.is_finite() && c.host_norm.is_finite();
            let healthy = measured.finite.map(|finite| finite && measured.captures.iter().all(sane));
            let given = SlotInputs {
                contribution: without.map(|w| inputs.accuracy - w),
                healthy,
                seed_params: slot.lifecycle.seed().map_or(0, |s| s.seed_params),
                gradients: measured.captures,
            };
            let recorded = self.with_slot(index, |lifecycle| {
                lifecycle.set_clock(now);
                lifecycle.record_validation(inputs.accuracy)?;
                if !lifecycle.stage().is_active() {
                    return Ok(());
                }
                for capture in &given.gradients {
                    lifecycle.record_gradients(*capture)?;
                }
                if let Some(healthy) = given.healthy {
                    let cause = if healthy { "finite_again" } else { "non_finite_output" };
                    lifecycle.record_health(healthy, cause)?;
                }
                given.contribution.map_or(Ok(()), |c| lifecycle.record_counterfactual(c))
            });
            recorded.map_err(|refusal| ModelError::Measurement { slot: name.clone(), refusal })?;
            raw.insert(name, given);
        }
        Ok(raw)
    }

    /// Lets every slot decide, once. A seed that its rules remove leaves forward and optimizer here.
    ///
    /// # Errors
    /// If the optimizer does not let a removed seed's parameters go; that slot is then as before.
    pub fn step_epoch(&mut self, sink: &mut dyn ParameterSink) -> Result<Vec<SlotOutcomes>, ModelError> {
        let mut all = Vec::new();
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            let name = slot.name().to_owned();
            let lived = slot.live.is_some();
            let mut next = slot.lifecycle.clone();
            let outcomes = next.step_epoch();
            let leaves = lived && next.seed().is_none();
            let tickets = if leaves { self.prepare_removal(index, sink)? } else { Vec::new() };
            self.with_slot(index, |lifecycle| *lifecycle = next);
            if leaves {
                self.finish_removal(index, tickets, sink);
            }
            self.sync_alpha(index)?;
            if !outcomes.is_empty() {
                all.push(SlotOutcomes { slot: name, outcomes });
            }
        }
        Ok(all)
    }
}
