//! The end of an epoch and of a training step.

use super::alpha::AlphaMode;
use super::event::Initiator;
use super::gate::Gate;
use super::machine::Lifecycle;
use super::stage::Stage;
use super::state::{Outcome, SeedState};
use super::task::TempoUnit;

impl Lifecycle {
    /// Ends an epoch, after its measurements were recorded: moves alpha and makes the transitions that the
    /// rules require. At most one stage is handled, the present one.
    pub fn step_epoch(&mut self) -> Vec<Outcome> {
        self.step_with(true)
    }

    /// Ends an epoch like [`step_epoch`](Self::step_epoch) where other ranks did not agree to its decision:
    /// alpha and counters advance, the stage does not change.
    pub fn step_epoch_vetoed(&mut self) -> Vec<Outcome> {
        self.step_with(false)
    }

    /// Ends a training step: moves alpha in BLENDING if the ramp counts steps, and returns whether that is
    /// so. The stage never changes here, because structure changes only at the end of an epoch.
    pub fn tick(&mut self) -> bool {
        let counts = |s: &&mut SeedState| s.stage == Stage::Blending && s.tempo_unit == TempoUnit::Step;
        self.seed.as_mut().filter(counts).map(|seed| seed.alpha.step()).is_some()
    }

    fn step_with(&mut self, consent: bool) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        match self.stage() {
            Stage::Germinated | Stage::Training | Stage::Shadowing => self.try_gate(consent, &mut outcomes),
            Stage::Blending => self.step_blending(consent, &mut outcomes),
            Stage::Holding => self.holding_rules(consent, &mut outcomes),
            Stage::Embargoed | Stage::Resetting => self.cool_down(consent, &mut outcomes),
            _ => {}
        }
        outcomes
    }

    fn step_blending(&mut self, consent: bool, outcomes: &mut Vec<Outcome>) {
        let Some(seed) = &mut self.seed else { return };
        if seed.tempo_unit == TempoUnit::Epoch {
            seed.alpha.step();
        }
        outcomes.push(Outcome::AlphaTicked { alpha: seed.alpha.alpha() });
        // The end of the ramp counts, not the value of alpha: a steep curve is near its target long before.
        if seed.alpha.mode() != AlphaMode::Hold {
            return;
        }
        match seed.scheduled_prune.clone() {
            Some(reason) => self.prune_unless_vetoed(&reason, Initiator::Policy, consent, outcomes),
            None => self.try_gate(consent, outcomes),
        }
    }

    /// Prunes a seed with a negative contribution, or one that was not fossilized within the timeout.
    fn holding_rules(&mut self, consent: bool, outcomes: &mut Vec<Outcome>) {
        let Some(seed) = &self.seed else { return };
        let harmful = seed.metrics.counterfactual_contribution.is_some_and(|c| c.get() < 0.0);
        let reason = if harmful {
            "negative_counterfactual"
        } else if seed.epochs_in_stage >= self.settings.effective_holding_timeout() {
            "holding_timeout"
        } else {
            return;
        };
        self.prune_unless_vetoed(reason, Initiator::Auto, consent, outcomes);
    }

    fn prune_unless_vetoed(
        &mut self,
        reason: &str,
        initiator: Initiator,
        consent: bool,
        outcomes: &mut Vec<Outcome>,
    ) {
        if consent {
            self.remove(reason, initiator);
            outcomes.push(Outcome::Pruned { reason: reason.to_owned() });
        } else {
            outcomes.push(Outcome::Vetoed { to: Stage::Pruned });
        }
    }

    /// Counts an epoch of the cooldown. In a cooldown validations do not count epochs: the N-th `step_epoch`
    /// after the prune enters RESETTING, the next one empties the slot.
    fn cool_down(&mut self, consent: bool, outcomes: &mut Vec<Outcome>) {
        let cooldown = self.settings.cooldown_epochs;
        let Some(seed) = &mut self.seed else { return };
        seed.epochs_in_stage = seed.epochs_in_stage.saturating_add(1);
        let (from, waited) = (seed.stage, seed.epochs_in_stage);
        let to = match from {
            Stage::Embargoed if waited < cooldown => return,
            Stage::Embargoed => Stage::Resetting,
            _ => Stage::Dormant,
        };
        if !consent {
            outcomes.push(Outcome::Vetoed { to });
            return;
        }
        if to == Stage::Dormant {
            self.vacate();
        } else {
            self.transition(to);
        }
        outcomes.push(Outcome::Advanced { from, to });
    }

    /// Evaluates the gate to the next stage if it advances automatically, and advances if it passes.
    fn try_gate(&mut self, consent: bool, outcomes: &mut Vec<Outcome>) {
        let from = self.stage();
        let Some((gate, to)) = self.next_gate() else { return };
        if gate == Gate::G5 || !self.settings.auto_advance.contains(&gate) {
            return;
        }
        let Some(result) = self.evaluate_gate(gate, to, consent) else { return };
        let passed = result.passed;
        outcomes.push(Outcome::GateEvaluated(result));
        if passed {
            self.transition(to);
            outcomes.push(Outcome::Advanced { from, to });
        }
    }
}
