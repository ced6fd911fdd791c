//! The edge of an epoch: what was measured goes into the lifecycles, and they decide.

use super::growth::{Question, Transaction, written};
use super::{CounterfactualPlan, ModelError, MorphogeneticModel};
use crate::consensus::{Act, Ballot, ConsensusError};
use crate::lifecycle::{Accuracy, Lifecycle, Outcome, SlotInputs, Stage};
use kasmina_torch_ext::ParameterSink;
use serde::Serialize;
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
    /// Whether each slot of the plan has made the network's outputs NaN or infinite; empty where none has.
    pub unhealthy: Vec<bool>,
}

/// What an epoch's end did to one slot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SlotOutcomes {
    /// Name of the slot.
    pub slot: String,
    /// What the lifecycle did at this epoch's end, in order.
    pub outcomes: Vec<Outcome>,
}

impl MorphogeneticModel {
    /// Reads the telemetry that queued on the device (this waits for it) and hands every slot its
    /// measurements. Answers with the raw inputs, by slot.
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
            let position = inputs.plan.slots.iter().position(|p| p.index == index);
            let without = position.and_then(|p| inputs.without.get(p));
            let slot = &mut self.slots[index];
            let name = slot.name().to_owned();
            let unhealthy =
                position.and_then(|p| inputs.unhealthy.get(p)).is_some_and(|unhealthy| *unhealthy);
            let given = slot.take_inputs(without.map(|w| inputs.accuracy - w), unhealthy)?;
            let violations = given.gradients.iter().filter(|c| c.violation).count();
            if let Some(seed) = slot.lifecycle().living().filter(|_| violations > 0) {
                let (slot, seed_id) = (name.clone(), seed.seed_id.clone());
                tracing::warn!(slot, seed = seed_id, violations, "isolation is breached");
                let violations = violations as u32;
                breached.get_or_insert(ModelError::Isolation { slot, seed_id, violations });
            }
            let told = given.operations(inputs.accuracy, slot.lifecycle().stage().is_active());
            let recorded = slot.record(now, &told);
            self.events.take_from(slot);
            recorded.map_err(|refusal| ModelError::Measurement { slot: name.clone(), refusal })?;
            raw.insert(name, given);
        }
        match breached {
            Some(error) if self.telemetry.fails_on_breach() => Err(error),
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
            let lives =
                self.slots().get(planned.index).and_then(|s| s.lifecycle().seed()).map(|s| &s.seed_id);
            if lives != Some(&planned.seed_id) {
                let text = format!("seed `{}` is no longer in slot `{}`", planned.seed_id, planned.slot);
                return Err(ModelError::Plan(text));
            }
        }
        Ok(())
    }

    /// Lets every slot decide, once. A seed that its rules remove leaves forward and optimizer here. With
    /// several ranks, one message carries the votes of all slots, empty ones too, and the least verdict
    /// counts.
    ///
    /// # Errors
    /// If the optimizer does not let a removed seed's parameters go, or the ranks do not come to a decision;
    /// then every slot is as before.
    pub fn step_epoch(&mut self, sink: &mut dyn ParameterSink) -> Result<Vec<SlotOutcomes>, ModelError> {
        // Everything that can fail, for all slots, beside the living model.
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
        // A rank that cannot follow must not let the others go on without it.
        let able = refused.is_none();
        let vote = |(index, decision)| Ballot { able, ..self.edge_ballot(index, decision) };
        let ballots: Vec<Ballot> = decided.iter().enumerate().map(vote).collect();
        let agreed = match self.consensus.agree(&ballots) {
            Ok(agreed) if able => agreed,
            not => {
                for decision in decided {
                    decision.removal.abort(sink);
                }
                let other = || not.err().unwrap_or(ConsensusError::Unable(vec![self.consensus.rank()]));
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
            self.take_over(index, next, removal, sink);
            if !outcomes.is_empty() {
                all.push(SlotOutcomes { slot: self.slots[index].name().to_owned(), outcomes });
            }
        }
        self.events.tell_listener();
        Ok(all)
    }

    /// What this rank says of what a slot has decided.
    fn edge_ballot(&self, index: usize, decision: &Decision) -> Ballot {
        let lifecycle = self.slots[index].lifecycle();
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
    removal: Transaction,
}
