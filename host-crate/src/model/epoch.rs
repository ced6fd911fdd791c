//! The edge of an epoch: what was measured goes into the lifecycles, and they decide.

use super::{CounterfactualPlan, ModelError, MorphogeneticModel};
use crate::lifecycle::{Accuracy, GradientCapture, Outcome};
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
    /// Trainable parameters of the seed.
    pub seed_params: u64,
    /// Trainable parameters of the host.
    pub host_params: u64,
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
        self.check(inputs)?;
        let mut raw = BTreeMap::new();
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            let name = slot.name().to_owned();
            let measured = slot.telemetry.materialise()?;
            let position = inputs.plan.slots.iter().position(|p| p.index == index);
            let without = position.and_then(|p| inputs.without.get(p));
            let sane = |c: &GradientCapture| c.seed_norm.is_finite() && c.host_norm.is_finite();
            let healthy = measured.finite.map(|finite| finite && measured.captures.iter().all(sane));
            let given = SlotInputs {
                contribution: without.map(|w| inputs.accuracy - w),
                healthy,
                seed_params: slot.lifecycle.seed().map_or(0, |s| s.seed_params),
                host_params: slot.lifecycle.seed().map_or(0, |s| s.host_params),
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

    /// Refuses inputs that cannot be true before any slot has seen them.
    fn check(&self, inputs: &EpochInputs<'_>) -> Result<(), ModelError> {
        let wrong = |slot: &str, refusal| ModelError::Measurement { slot: slot.to_owned(), refusal };
        Accuracy::new(inputs.accuracy).map_err(|e| wrong("all", e))?;
        if inputs.without.len() != inputs.plan.slots.len() {
            let text =
                format!("{} slots were planned, {} measured", inputs.plan.slots.len(), inputs.without.len());
            return Err(ModelError::Plan(text));
        }
        for (planned, without) in inputs.plan.slots.iter().zip(&inputs.without) {
            Accuracy::new(*without).map_err(|e| wrong(&planned.slot, e))?;
            let lives = self.slots.get(planned.index).and_then(|s| s.lifecycle.seed()).map(|s| &s.seed_id);
            if lives != Some(&planned.seed_id) {
                let text = format!("seed `{}` is no longer in slot `{}`", planned.seed_id, planned.slot);
                return Err(ModelError::Plan(text));
            }
        }
        Ok(())
    }

    /// Lets every slot decide, once. A seed that its rules remove leaves forward and optimizer here.
    ///
    /// # Errors
    /// If the optimizer does not let a removed seed's parameters go; then every slot is as before.
    pub fn step_epoch(&mut self, sink: &mut dyn ParameterSink) -> Result<Vec<SlotOutcomes>, ModelError> {
        // Everything that can fail, for all slots, beside the living model.
        let mut decided = Vec::with_capacity(self.slots.len());
        for index in 0..self.slots.len() {
            let mut next = self.slots[index].lifecycle.clone();
            let outcomes = next.step_epoch();
            let leaves = self.slots[index].live.is_some() && next.seed().is_none();
            match if leaves { self.prepare_removal(index, sink) } else { Ok(Vec::new()) } {
                Ok(tickets) => decided.push((next, outcomes, leaves, tickets)),
                Err(error) => {
                    decided.into_iter().flat_map(|(.., tickets)| tickets).for_each(|t| sink.abort(t));
                    return Err(error.into());
                }
            }
        }
        let mut all = Vec::new();
        for (index, (next, outcomes, leaves, tickets)) in decided.into_iter().enumerate() {
            self.with_slot(index, |lifecycle| *lifecycle = next);
            if leaves {
                self.finish_removal(index, tickets, sink);
            }
            if !outcomes.is_empty() {
                all.push(SlotOutcomes { slot: self.slots[index].name().to_owned(), outcomes });
            }
        }
        Ok(all)
    }
}
