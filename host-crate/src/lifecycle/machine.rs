//! The machine itself: one slot, at most one seed, and one place that performs a transition.

use super::alpha::{AlphaController, AlphaMode, Curve};
use super::event::{Event, EventKind, Initiator};
use super::gate::{self, Gate, GateResult};
use super::metrics::{GradientCapture, SeedMetrics};
use super::refusal::{Refusal, RefusalCode};
use super::settings::Settings;
use super::stage::Stage;
use super::state::{Germination, Outcome, SeedState};
use super::units::{Accuracy, Percent};
use kasmina_plugin_api::Topology;
use std::collections::VecDeque;

/// Transitions that a seed remembers.
const HISTORY: usize = 100;

/// The lifecycle of one slot.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    slot_id: String,
    topology: Topology,
    settings: Settings,
    seed: Option<SeedState>,
    events: Vec<Event>,
    now: u64,
}

impl Lifecycle {
    /// An empty slot. The settings are taken as validated.
    pub fn new(slot_id: impl Into<String>, topology: Topology, settings: Settings) -> Self {
        Self { slot_id: slot_id.into(), topology, settings, seed: None, events: Vec::new(), now: 0 }
    }

    /// Tells the time that transitions are recorded with; the machine has no clock of its own.
    pub fn set_clock(&mut self, now: u64) {
        self.now = now;
    }
    /// The slot's name.
    pub fn slot_id(&self) -> &str {
        &self.slot_id
    }
    /// What flows there.
    pub fn topology(&self) -> Topology {
        self.topology
    }
    /// The rules.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
    /// The seed, if one lives here.
    pub fn seed(&self) -> Option<&SeedState> {
        self.seed.as_ref()
    }
    /// Where the slot stands; DORMANT when it is empty.
    pub fn stage(&self) -> Stage {
        self.seed.as_ref().map_or(Stage::Dormant, |s| s.stage)
    }
    /// How much of the seed is in the output; 0 when the slot is empty.
    pub fn alpha(&self) -> f64 {
        self.seed.as_ref().map_or(0.0, |s| s.alpha.alpha())
    }
    /// Whether the seed's input is to be detached now.
    pub fn isolated(&self) -> bool {
        self.settings.isolation.detaches(self.stage(), self.topology)
    }
    /// Takes the events out, oldest first.
    pub fn drain_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Takes a seed in: DORMANT to GERMINATED.
    ///
    /// # Errors
    /// `out_of_range` or `non_finite` for the blend's numbers, `slot_occupied`, `gate_failed` (G0).
    pub fn germinate(&mut self, request: Germination) -> Result<(), Refusal> {
        let blend = request.blend;
        if blend.tempo == 0 {
            return Err(Refusal::new(RefusalCode::OutOfRange, "tempo is 0; a ramp takes at least 1"));
        }
        let curve = blend.curve.or_else(|| Curve::by_id(&blend.id)).unwrap_or_default();
        let alpha = AlphaController::new(blend.target, curve, blend.steepness)?;
        self.vacant()?;
        let g0 = gate::identity(&request.seed_id, &request.blueprint_id);
        if !g0.passed {
            return Err(Refusal::new(RefusalCode::GateFailed, g0.message));
        }
        self.events.push(Event {
            kind: EventKind::SeedGerminated {
                blueprint_id: request.blueprint_id.clone(),
                plugin: request.plugin,
                generation: request.generation,
                params: request.seed_params + request.gate_params,
                alpha: 0.0,
                blend: blend.id.clone(),
                tempo: blend.tempo,
            },
            slot_id: self.slot_id.clone(),
            seed_id: Some(request.seed_id.clone()),
        });
        self.seed = Some(SeedState {
            seed_id: request.seed_id,
            blueprint_id: request.blueprint_id,
            blend_id: blend.id,
            stage: Stage::Germinated,
            previous_stage: Stage::Dormant,
            previous_epochs_in_stage: 0,
            alpha,
            epochs_in_stage: 0,
            epochs_total: 0,
            metrics: SeedMetrics::default(),
            seed_params: request.seed_params,
            gate_params: request.gate_params,
            history: VecDeque::from([(Stage::Germinated, self.now)]),
            host_params: request.host_params,
            tempo: blend.tempo,
        });
        Ok(())
    }

    /// Whether a seed may be taken in.
    ///
    /// # Errors
    /// `slot_occupied`.
    pub fn vacant(&self) -> Result<(), Refusal> {
        match &self.seed {
            None => Ok(()),
            Some(seed) => Err(Refusal::new(
                RefusalCode::SlotOccupied,
                format!("slot `{}` holds seed `{}` in {}", self.slot_id, seed.seed_id, seed.stage),
            )),
        }
    }

    /// A validation of the whole network. Counts an epoch in GERMINATED to HOLDING; moves current and best in
    /// FOSSILIZED; does nothing in an empty slot (A7).
    ///
    /// # Errors
    /// `non_finite` or `out_of_range`.
    pub fn record_validation(&mut self, accuracy: f64) -> Result<(), Refusal> {
        let accuracy = Accuracy::new(accuracy)?;
        let Some(seed) = &mut self.seed else { return Ok(()) };
        match seed.stage {
            Stage::Germinated | Stage::Training | Stage::Blending | Stage::Shadowing | Stage::Holding => {
                seed.metrics.record_accuracy(accuracy);
                seed.epochs_in_stage += 1;
                seed.epochs_total += 1;
            }
            Stage::Fossilized => seed.metrics.record_accuracy(accuracy),
            _ => {}
        }
        Ok(())
    }

    /// A capture of gradient norms. One that is not finite is counted, marks the seed unhealthy and is never a
    /// ratio (A16; earlier code turned NaN into 10).
    ///
    /// # Errors
    /// `out_of_range` for a negative norm, `empty_slot`, `wrong_stage`.
    pub fn record_gradients(&mut self, capture: GradientCapture) -> Result<(), Refusal> {
        let capture = capture.check()?;
        let seed = self.active("gradients")?;
        if let Some(ratio) = capture.ratio(seed.seed_params, seed.host_params) {
            seed.metrics.add_gradient_ratio(ratio);
        } else {
            seed.metrics.unhealthy_captures += 1;
            self.set_health(false, "non_finite_gradient");
        }
        Ok(())
    }

    /// What the seed is worth: accuracy as is, less accuracy with its alpha forced to 0.
    ///
    /// # Errors
    /// `non_finite`, `out_of_range`, `empty_slot`, `wrong_stage`.
    pub fn record_counterfactual(&mut self, contribution: f64) -> Result<(), Refusal> {
        let contribution = Percent::new("contribution", contribution)?;
        self.active("a counterfactual")?.metrics.counterfactual_contribution = Some(contribution);
        Ok(())
    }

    /// What the caller knows of the seed's health.
    ///
    /// # Errors
    /// `empty_slot`, `wrong_stage`.
    pub fn record_health(&mut self, healthy: bool, cause: &str) -> Result<(), Refusal> {
        let seed = self.living()?;
        if !(seed.stage.is_active() || seed.stage == Stage::Germinated) {
            return Err(wrong_stage("health", seed.stage));
        }
        self.set_health(healthy, cause);
        Ok(())
    }

    fn set_health(&mut self, healthy: bool, cause: &str) {
        let changed = self.seed.as_mut().is_some_and(|s| {
            let changed = s.metrics.healthy != healthy;
            s.metrics.healthy = healthy;
            changed
        });
        if changed {
            self.emit(EventKind::SeedHealth { healthy, cause: cause.to_owned() });
        }
    }

    /// One epoch, after its validation. Handles the stage found on entry, once (A5).
    pub fn step_epoch(&mut self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        match self.stage() {
            Stage::Germinated => self.try_gate(Gate::G1, Stage::Training, &mut outcomes),
            Stage::Training => self.try_gate(Gate::G2, Stage::Blending, &mut outcomes),
            Stage::Blending => {
                if let Some(seed) = &mut self.seed {
                    seed.alpha.step();
                    outcomes.push(Outcome::AlphaTicked { alpha: seed.alpha.alpha() });
                    // Reached means that the ramp is over; a steep curve is at its target long before (A5).
                    if seed.alpha.mode() == AlphaMode::Hold {
                        self.try_gate(Gate::G3, Stage::Holding, &mut outcomes);
                    }
                }
            }
            Stage::Holding => self.holding_rules(&mut outcomes),
            _ => {}
        }
        outcomes
    }

    /// A harmful seed, or one that nobody decides on, does not stay.
    fn holding_rules(&mut self, outcomes: &mut Vec<Outcome>) {
        let Some(seed) = &self.seed else { return };
        let harmful = seed.metrics.counterfactual_contribution.is_some_and(|c| c.get() < 0.0);
        let reason = if harmful {
            "negative_counterfactual"
        } else if seed.epochs_in_stage >= self.settings.effective_holding_timeout() {
            "holding_timeout"
        } else {
            return;
        };
        self.remove(reason, Initiator::Auto);
        outcomes.push(Outcome::Pruned { reason: reason.to_owned() });
    }

    fn try_gate(&mut self, gate: Gate, to: Stage, outcomes: &mut Vec<Outcome>) {
        if !self.settings.auto_advance.contains(&gate) {
            return;
        }
        let from = self.stage();
        let Some(result) = self.ask(gate, to) else { return };
        let passed = result.passed;
        outcomes.push(Outcome::GateEvaluated(result));
        if passed {
            self.transition(to);
            outcomes.push(Outcome::Advanced { from, to });
        }
    }

    /// Asks for the next stage, or for the one named (A4). Neither ticks nor counts.
    ///
    /// # Errors
    /// `empty_slot`, `illegal_transition`, `gate_failed`; only the last leaves an event.
    pub fn advance(&mut self, target: Option<Stage>) -> Result<Stage, Refusal> {
        let from = self.living()?.stage;
        let next = match from {
            Stage::Germinated => Some((Gate::G1, Stage::Training)),
            Stage::Training => Some((Gate::G2, Stage::Blending)),
            Stage::Blending => Some((Gate::G3, Stage::Holding)),
            Stage::Holding => Some((Gate::G5, Stage::Fossilized)),
            _ => None,
        };
        let Some((gate, to)) = next.filter(|(_, to)| target.is_none_or(|t| t == *to)) else {
            let wish = target.map_or_else(|| "any further".to_owned(), |t| format!("to {t}"));
            let text =
                format!("slot `{}` is in {from}; advance does not lead {wish} from there", self.slot_id);
            return Err(Refusal::new(RefusalCode::IllegalTransition, text));
        };
        match self.ask(gate, to) {
            Some(result) if result.passed => {
                self.transition(to);
                Ok(to)
            }
            Some(result) => Err(Refusal::new(RefusalCode::GateFailed, result.message)),
            None => Err(self.empty()),
        }
    }

    /// Removes the seed: GERMINATED to HOLDING, mid-ramp included (A14). The slot is free in the same call.
    ///
    /// # Errors
    /// `empty_slot`, `illegal_transition` for a fossil.
    pub fn prune(&mut self, reason: &str, initiator: Initiator) -> Result<(), Refusal> {
        self.prunable()?;
        self.remove(reason, initiator);
        Ok(())
    }

    /// Whether a prune would be accepted.
    ///
    /// # Errors
    /// As [`prune`](Self::prune).
    fn prunable(&self) -> Result<(), Refusal> {
        let seed = self.seed.as_ref().ok_or_else(|| self.empty())?;
        if seed.stage.may_become(Stage::Pruned) {
            return Ok(());
        }
        let text =
            format!("slot `{}` is in {}; nothing leads from there to PRUNED", self.slot_id, seed.stage);
        Err(Refusal::new(RefusalCode::IllegalTransition, text))
    }

    fn ask(&mut self, gate: Gate, target: Stage) -> Option<GateResult> {
        let result = gate::evaluate(gate, self.seed.as_ref()?, &self.settings);
        self.emit(EventKind::SeedGateEvaluated {
            gate,
            target,
            passed: result.passed,
            score: result.score,
            checks_passed: result.checks_passed.clone(),
            checks_failed: result.checks_failed.clone(),
            message: result.message.clone(),
        });
        Some(result)
    }

    /// X to PRUNED, and in the same call PRUNED to DORMANT: PRUNED is never seen at rest (A6).
    fn remove(&mut self, reason: &str, initiator: Initiator) {
        let Some(seed) = &self.seed else { return };
        let pruned = EventKind::SeedPruned {
            reason: reason.to_owned(),
            initiator,
            blueprint_id: seed.blueprint_id.clone(),
            improvement: seed.metrics.total_improvement().get(),
            counterfactual: seed.metrics.counterfactual_contribution.map(Percent::get),
            epochs_total: seed.epochs_total,
            params_removed: seed.parameters(),
        };
        self.transition(Stage::Pruned);
        self.emit(pruned);
        self.transition(Stage::Dormant);
        self.seed = None;
    }

    /// The one place where a stage changes, with every side effect, whoever asked for it.
    fn transition(&mut self, to: Stage) {
        let now = self.now;
        let Some(seed) = &mut self.seed else { return };
        let from = seed.stage;
        debug_assert!(from.may_become(to), "{from} -> {to}");
        let delta = match from {
            Stage::Blending | Stage::Shadowing | Stage::Holding => {
                seed.metrics.improvement_since_stage_start().get()
            }
            _ => 0.0,
        };
        let changed = EventKind::SeedStageChanged {
            from,
            to,
            alpha: seed.alpha.alpha(),
            accuracy_delta: delta,
            epochs_in_stage: seed.epochs_in_stage,
            gradient_ratio: seed.metrics.gradient_ratio(),
        };
        let fossil = (to == Stage::Fossilized).then(|| EventKind::SeedFossilized {
            blueprint_id: seed.blueprint_id.clone(),
            improvement: seed.metrics.total_improvement().get(),
            counterfactual: seed.metrics.counterfactual_contribution.map(Percent::get),
            blending_delta: seed.metrics.blending_delta().get(),
            params_added: seed.parameters(),
            epochs_total: seed.epochs_total,
        });

        seed.previous_stage = from;
        seed.previous_epochs_in_stage = seed.epochs_in_stage;
        seed.stage = to;
        seed.epochs_in_stage = 0;
        if seed.history.len() == HISTORY {
            seed.history.pop_front();
        }
        seed.history.push_back((to, now));
        match to {
            Stage::Blending if from == Stage::Training => {
                seed.metrics.begin_blending();
                let (target, tempo) = (seed.alpha.target(), seed.tempo);
                // At rest since germination, and the target was checked then: this cannot be refused.
                let _ = seed.alpha.retarget(target, tempo);
            }
            Stage::Shadowing | Stage::Holding => seed.alpha.settle(),
            Stage::Pruned => seed.alpha.clear(),
            _ => {}
        }
        seed.metrics.begin_stage();

        self.emit(changed);
        if let Some(fossil) = fossil {
            self.emit(fossil);
        }
    }

    fn living(&mut self) -> Result<&mut SeedState, Refusal> {
        let empty = self.empty();
        self.seed.as_mut().ok_or(empty)
    }

    fn active(&mut self, what: &str) -> Result<&mut SeedState, Refusal> {
        let seed = self.living()?;
        if seed.stage.is_active() { Ok(seed) } else { Err(wrong_stage(what, seed.stage)) }
    }

    fn empty(&self) -> Refusal {
        Refusal::new(RefusalCode::EmptySlot, format!("slot `{}` holds no seed", self.slot_id))
    }

    fn emit(&mut self, kind: EventKind) {
        let seed_id = self.seed.as_ref().map(|s| s.seed_id.clone());
        self.events.push(Event { kind, slot_id: self.slot_id.clone(), seed_id });
    }
}

fn wrong_stage(what: &str, stage: Stage) -> Refusal {
    Refusal::new(RefusalCode::WrongStage, format!("{what} cannot be recorded in {stage}"))
}
