//! The end of an epoch: the lifecycles get their measurements and decide.

use super::growth::{Question, Transaction, subject_text};
use super::{CounterfactualPlan, ModelError, MorphogeneticModel};
use crate::consensus::{Action, Ballot, ConsensusError, merge};
use crate::graft::SeedSlot;
use crate::lifecycle::{Accuracy, Lifecycle, Outcome, SlotInputs, Stage};
use kasmina_torch_ext::ParameterSink;
use serde::Serialize;
use std::collections::BTreeMap;

/// Measurements of the whole network at the end of an epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct EpochInputs<'a> {
    /// Validation accuracy in percent.
    pub accuracy: f64,
    /// Plan of the counterfactual pass.
    pub plan: &'a CounterfactualPlan,
    /// Validation accuracy without each slot of the plan, in percent.
    pub without: Vec<f64>,
    /// For each slot of the plan, whether its seed made the network's outputs NaN or infinite; may be empty
    /// if none did.
    pub unhealthy: Vec<bool>,
}

/// Outcomes of [`step_epoch`](MorphogeneticModel::step_epoch) for one slot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SlotOutcomes {
    /// Name of the slot.
    pub slot: String,
    /// Outcomes of the lifecycle, in order.
    pub outcomes: Vec<Outcome>,
}

impl MorphogeneticModel {
    /// Reads the queued measurements from the device and passes every lifecycle its inputs. Returns these
    /// inputs by slot. `now` is in milliseconds since 1970. Waits for the device.
    ///
    /// # Errors
    /// If an input is out of range, the plan does not match, a libtorch call fails, or isolation is
    /// breached and `fail_on_breach` is set.
    pub fn record_epoch(
        &mut self,
        inputs: &EpochInputs<'_>,
        now: u64,
    ) -> Result<BTreeMap<String, SlotInputs>, ModelError> {
        self.check_inputs(inputs)?;
        let all = self.take_all_inputs(inputs)?;
        let mut raw = BTreeMap::new();
        let mut breached = None;
        for (index, given) in all.into_iter().enumerate() {
            let slot = &mut self.slots[index];
            let name = slot.name().to_owned();
            let violations = given.gradients.iter().filter(|c| c.violation).count();
            if let Some(seed) = slot.lifecycle().living().filter(|_| violations > 0) {
                let (slot, seed_id) = (name.clone(), seed.seed_id.clone());
                tracing::warn!(slot, seed = seed_id, violations, "isolation is breached");
                let violations = violations as u32;
                breached.get_or_insert(ModelError::Isolation { slot, seed_id, violations });
            }
            let operations = given.operations(inputs.accuracy, slot.lifecycle().stage().is_active());
            let recorded = slot.record(now, &operations);
            self.events.append_from(slot);
            recorded.map_err(|refusal| ModelError::Measurement { slot: name.clone(), refusal })?;
            raw.insert(name, given);
        }
        match breached {
            Some(error) if self.telemetry.fails_on_breach() => Err(error),
            _ => Ok(raw),
        }
    }

    /// Reads the queued measurements of all slots. With several ranks, those of all ranks are joined.
    fn take_all_inputs(&mut self, inputs: &EpochInputs<'_>) -> Result<Vec<SlotInputs>, ModelError> {
        let mut all = Vec::with_capacity(self.slots.len());
        for index in 0..self.slots.len() {
            let position = inputs.plan.slots.iter().position(|p| p.index == index);
            let without = position.and_then(|p| inputs.without.get(p));
            let unhealthy =
                position.and_then(|p| inputs.unhealthy.get(p)).is_some_and(|unhealthy| *unhealthy);
            all.push(self.slots[index].take_inputs(without.map(|w| inputs.accuracy - w), unhealthy)?);
        }
        if self.consensus.ranks() == 1 {
            return Ok(all);
        }
        let damaged = |error: serde_json::Error| ConsensusError::Exchange(error.to_string());
        let ranks = self.consensus.exchange_bytes(&serde_json::to_vec(&all).map_err(damaged)?)?;
        let ranks: Vec<Vec<SlotInputs>> = ranks
            .iter()
            .map(|bytes| serde_json::from_slice(bytes).map_err(damaged))
            .collect::<Result<_, _>>()?;
        let names: Vec<&str> = self.slots.iter().map(SeedSlot::name).collect();
        merge(&mut all, &ranks, &names)?;
        Ok(all)
    }

    /// Refuses invalid inputs before any slot has used them.
    fn check_inputs(&self, inputs: &EpochInputs<'_>) -> Result<(), ModelError> {
        let wrong = |slot: &str, refusal| ModelError::Measurement { slot: slot.to_owned(), refusal };
        Accuracy::new(inputs.accuracy).map_err(|e| wrong("all", e))?;
        if inputs.without.len() != inputs.plan.slots.len() {
            let text =
                format!("{} slots were planned, {} measured", inputs.plan.slots.len(), inputs.without.len());
            return Err(ModelError::Plan(text));
        }
        for (planned, without) in inputs.plan.slots.iter().zip(&inputs.without) {
            Accuracy::new(*without).map_err(|e| wrong(&planned.slot, e))?;
            let present =
                self.slots().get(planned.index).and_then(|s| s.lifecycle().seed()).map(|s| &s.seed_id);
            if present != Some(&planned.seed_id) {
                let text = format!("seed `{}` is no longer in slot `{}`", planned.seed_id, planned.slot);
                return Err(ModelError::Plan(text));
            }
        }
        Ok(())
    }

    /// Lets the lifecycle of every slot decide once, and removes pruned seeds from model and optimizer.
    ///
    /// With several ranks, one message carries the votes on all slots, empty ones included. A transition
    /// needs the votes of all ranks.
    ///
    /// # Errors
    /// If the optimizer refuses to remove a seed's parameters, or the ranks make no decision; every slot is
    /// then unchanged.
    pub fn step_epoch(&mut self, sink: &mut dyn ParameterSink) -> Result<Vec<SlotOutcomes>, ModelError> {
        // Everything that can fail comes first, for all slots, without changing the model.
        let mut decided = Vec::with_capacity(self.slots.len());
        let mut refused = None;
        for index in 0..self.slots.len() {
            let mut next = self.slots[index].lifecycle().clone();
            let outcomes = next.step_epoch();
            let removal = self.prepare_removal(index, &next, sink).unwrap_or_else(|error| {
                refused.get_or_insert(error);
                Transaction::default()
            });
            decided.push(Decision { next, outcomes, removal });
        }
        // A rank that cannot apply the decision must keep the others from applying it.
        let able = refused.is_none();
        let vote = |(index, decision)| Ballot { able, ..self.epoch_ballot(index, decision) };
        let ballots: Vec<Ballot> = decided.iter().enumerate().map(vote).collect();
        let agreed = match self.consensus.agree(&ballots) {
            Ok(agreed) if able => agreed,
            result => {
                for decision in decided {
                    decision.removal.abort(sink);
                }
                let other = || result.err().unwrap_or(ConsensusError::Unable(vec![self.consensus.rank()]));
                return Err(refused.map_or_else(|| other().into(), ModelError::from));
            }
        };
        let mut all = Vec::new();
        for (index, (mut decision, ballot)) in decided.into_iter().zip(ballots).enumerate() {
            if ballot.verdict && !agreed.get(index).copied().unwrap_or(false) {
                std::mem::take(&mut decision.removal).abort(sink);
                decision.next = self.slots[index].lifecycle().clone();
                decision.outcomes = decision.next.step_epoch_vetoed();
            }
            let Decision { next, outcomes, removal } = decision;
            self.commit_lifecycle(index, next, removal, sink);
            if !outcomes.is_empty() {
                all.push(SlotOutcomes { slot: self.slots[index].name().to_owned(), outcomes });
            }
        }
        self.events.notify_listener();
        Ok(all)
    }

    /// Returns this rank's ballot on the decision of a slot.
    fn epoch_ballot(&self, index: usize, decision: &Decision) -> Ballot {
        let lifecycle = self.slots[index].lifecycle();
        let gate = decision.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::GateEvaluated(result) => Some(Action::Gate(result.gate)),
            _ => None,
        });
        let action = match lifecycle.stage() {
            Stage::Holding | Stage::Embargoed | Stage::Resetting => Action::Rules,
            _ if lifecycle.is_leaving() => Action::Rules,
            _ => gate.unwrap_or(Action::Nothing),
        };
        // The alphas must be equal on all ranks, in every stage; otherwise the ranks train different
        // networks.
        let subject = lifecycle.seed().map_or_else(String::new, |seed| subject_text(&("edge", &seed.alpha)));
        let moves = decision.next.stage() != lifecycle.stage();
        self.ballot(index, &Question { action, subject, new_seed_id: None }, moves)
    }
}

/// The decision of a slot's lifecycle, not yet applied.
struct Decision {
    next: Lifecycle,
    outcomes: Vec<Outcome>,
    removal: Transaction,
}
