//! The edge of an epoch: what was measured goes into the lifecycles, and they decide.

use super::execute::{Question, written};
use super::{CounterfactualPlan, ModelError, MorphogeneticModel};
use crate::consensus::{Act, Ballot, ConsensusError};
use crate::lifecycle::{Accuracy, Curve, GradientCapture, Lifecycle, Operation, Outcome, Stage};
use kasmina_torch_ext::{ParameterSink, Ticket};
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
    /// Training steps that its ramp has counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ticks: u32,
    /// What its ramp was told between them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interventions: Vec<Intervention>,
    /// Shadow checks of its isolation.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub isolation_checks: u32,
    /// In SHADOWING: how far its features are from its host's, relative to those (L2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow_distance: Option<f64>,
    /// Trainable parameters of the seed.
    pub seed_params: u64,
    /// Trainable parameters of the host.
    pub host_params: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// What a ramp is told between two training steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intervention {
    /// So many steps of the epoch had been counted by the ramp.
    pub after_ticks: u32,
    /// What it was told.
    #[serde(flatten)]
    pub what: Intervene,
}

/// The kinds of intervention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "intervention", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Intervene {
    /// Its blend was exchanged for one with another curve.
    ExchangeCurve {
        /// The curve.
        curve: Curve,
    },
    /// Its blend failed, and alpha stays where it is.
    FreezeAlpha,
    /// Its plugin panicked, and it was removed.
    Prune {
        /// Why.
        reason: String,
    },
}

impl Intervene {
    /// As an operation of the lifecycle.
    pub fn operation(&self) -> Operation {
        match self {
            Self::ExchangeCurve { curve } => Operation::ExchangeCurve { curve: curve.clone() },
            Self::FreezeAlpha => Operation::FreezeAlpha,
            Self::Prune { reason } => Operation::Prune { reason: reason.clone() },
        }
    }
}

impl SlotInputs {
    /// What the lifecycle of a slot has seen during an epoch, before its edge.
    pub fn during(&self) -> Vec<Operation> {
        let mut told = Vec::new();
        for ticks in 0..=self.ticks {
            let here = self.interventions.iter().filter(|i| i.after_ticks == ticks);
            told.extend(here.map(|i| i.what.operation()));
            told.extend((ticks < self.ticks).then_some(Operation::Tick));
        }
        told
    }

    /// What the lifecycle of a slot is told at the edge of an epoch, in order: the one place that knows it, for the
    /// run and for those who replay it.
    pub fn operations(&self, accuracy: f64, active: bool) -> Vec<Operation> {
        let mut told = vec![Operation::Validation { accuracy }];
        if active {
            told.extend(self.gradients.iter().map(|capture| Operation::Gradients(*capture)));
            told.extend(self.healthy.map(|healthy| {
                let cause = if healthy { "finite_again" } else { "non_finite_output" };
                Operation::Health { healthy, cause: cause.to_owned() }
            }));
            let worth = self.contribution.map(|contribution| Operation::Counterfactual { contribution });
            told.extend(worth);
        }
        told
    }
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
        let mut breached = None;
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            let name = slot.name().to_owned();
            let measured = slot.monitor.materialise()?;
            let position = inputs.plan.slots.iter().position(|p| p.index == index);
            let without = position.and_then(|p| inputs.without.get(p));
            let sane = |c: &GradientCapture| c.seed_norm.is_finite() && c.host_norm.is_finite();
            let healthy = measured.finite.map(|finite| finite && measured.captures.iter().all(sane));
            let living = slot.lifecycle.living();
            let violations = measured.captures.iter().filter(|c| c.violation).count();
            if let Some(seed) = living.filter(|_| violations > 0) {
                let (slot, seed_id) = (name.clone(), seed.seed_id.clone());
                tracing::warn!(slot, seed = seed_id, violations, "isolation is breached");
                let violations = violations as u32;
                breached.get_or_insert(ModelError::Isolation { slot, seed_id, violations });
            }
            let given = SlotInputs {
                contribution: without.map(|w| inputs.accuracy - w),
                healthy,
                seed_params: living.map_or(0, |s| s.seed_params),
                host_params: living.map_or(0, |s| s.host_params),
                ticks: std::mem::take(&mut slot.ticks),
                interventions: std::mem::take(&mut slot.interventions),
                isolation_checks: measured.isolation_checks,
                shadow_distance: measured.distance,
                gradients: measured.captures,
            };
            let told = given.operations(inputs.accuracy, slot.lifecycle.stage().is_active());
            let recorded = self.with_slot(index, |lifecycle| {
                lifecycle.set_clock(now);
                told.iter().try_for_each(|operation| operation.apply(lifecycle).map(drop))
            });
            recorded.map_err(|refusal| ModelError::Measurement { slot: name.clone(), refusal })?;
            raw.insert(name, given);
        }
        match breached {
            Some(error) if self.fail_on_breach => Err(error),
            _ => Ok(raw),
        }
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

    /// Lets every slot decide, once. A seed that its rules remove leaves forward and optimizer here. With several
    /// ranks, one message carries the votes of all slots, empty ones too, and the least verdict counts.
    ///
    /// # Errors
    /// If the optimizer does not let a removed seed's parameters go, or the ranks do not come to a decision; then
    /// every slot is as before.
    pub fn step_epoch(&mut self, sink: &mut dyn ParameterSink) -> Result<Vec<SlotOutcomes>, ModelError> {
        // Everything that can fail, for all slots, beside the living model.
        let mut decided = Vec::with_capacity(self.slots.len());
        let mut refused = None;
        for index in 0..self.slots.len() {
            let mut next = self.slots[index].lifecycle.clone();
            let outcomes = next.step_epoch();
            let tickets = self.prepare_removal(index, &next, sink).unwrap_or_else(|error| {
                refused.get_or_insert(error);
                Vec::new()
            });
            decided.push(Decision { next, outcomes, tickets });
        }
        // A rank that cannot follow must not let the others go on without it.
        let able = refused.is_none();
        let vote = |(index, decision)| Ballot { able, ..self.vote(index, decision) };
        let ballots: Vec<Ballot> = decided.iter().enumerate().map(vote).collect();
        let agreed = match self.consensus.agree(&ballots) {
            Ok(agreed) if able => agreed,
            not => {
                for ticket in decided.into_iter().flat_map(|d| d.tickets) {
                    sink.abort(ticket);
                }
                let other = || not.err().unwrap_or(ConsensusError::Unable(vec![self.consensus.rank()]));
                return Err(refused.map_or_else(|| other().into(), ModelError::from));
            }
        };
        let mut all = Vec::new();
        for (index, (mut decision, ballot)) in decided.into_iter().zip(ballots).enumerate() {
            if ballot.verdict && !agreed.get(index).copied().unwrap_or(false) {
                for ticket in decision.tickets.drain(..) {
                    sink.abort(ticket);
                }
                decision.next = self.slots[index].lifecycle.clone();
                decision.outcomes = decision.next.step_epoch_vetoed();
            }
            let Decision { next, outcomes, tickets } = decision;
            self.take_over(index, next, tickets, sink);
            if !outcomes.is_empty() {
                all.push(SlotOutcomes { slot: self.slots[index].name().to_owned(), outcomes });
            }
        }
        Ok(all)
    }

    /// What this rank says of what a slot has decided.
    fn vote(&self, index: usize, decision: &Decision) -> Ballot {
        let lifecycle = &self.slots[index].lifecycle;
        let gate = decision.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::GateEvaluated(result) => Some(Act::Gate(result.gate)),
            _ => None,
        });
        let act = match lifecycle.stage() {
            Stage::Holding | Stage::Embargoed | Stage::Resetting => Act::Rules,
            _ if lifecycle.is_leaving() => Act::Rules,
            _ => gate.unwrap_or(Act::Rest),
        };
        // Ranks with other alphas train other networks, whatever stage they are in.
        let subject = lifecycle.seed().map_or_else(String::new, |seed| written(&("edge", &seed.alpha)));
        let moves = decision.next.stage() != lifecycle.stage();
        self.ballot(index, &Question { act, subject, coming: None }, moves)
    }
}

/// What a slot would do, beside the living model.
struct Decision {
    next: Lifecycle,
    outcomes: Vec<Outcome>,
    tickets: Vec<Ticket>,
}
