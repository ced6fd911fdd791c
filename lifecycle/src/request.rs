//! Requests to a slot: germinate, advance, set the alpha target, prune. A request is carried out completely,
//! or refused without any change.

use super::alpha::AlphaController;
use super::curve::Curve;
use super::event::{EventKind, Initiator};
use super::gate::Gate;
use super::judge;
use super::machine::Lifecycle;
use super::metrics::SeedMetrics;
use super::refusal::{Refusal, RefusalCode};
use super::stage::Stage;
use super::state::{Germination, SeedState};
use super::units::{TOLERANCE, positive_up_to};
use std::collections::VecDeque;

impl Lifecycle {
    /// Puts a seed into the slot: DORMANT to GERMINATED.
    ///
    /// # Errors
    /// `out_of_range` or `non_finite` for the numbers of the ramp, `slot_occupied`, `gate_failed` (G0).
    pub fn germinate(&mut self, request: Germination) -> Result<(), Refusal> {
        let (blend, plan) = (request.blend.id, request.blend.alpha);
        if plan.tempo == 0 {
            return Err(Refusal::new(RefusalCode::OutOfRange, "tempo is 0; a ramp takes at least 1"));
        }
        // The state machine does not know blends. The caller looks up the blend's curve and passes it in the
        // plan.
        let alpha = AlphaController::new(plan.target, plan.curve.unwrap_or_default(), plan.steepness)?;
        self.check_vacant()?;
        let g0 = judge::identity(&request.seed_id, &request.blueprint_id);
        if !g0.passed {
            return Err(Refusal::new(RefusalCode::GateFailed, g0.message));
        }
        let germinated = EventKind::SeedGerminated {
            blueprint_id: request.blueprint_id.clone(),
            plugin: request.plugin,
            generation: request.generation,
            params: request.seed_params.saturating_add(request.gate_params),
            alpha: if request.preinstalled { alpha.target() } else { 0.0 },
            blend: blend.clone(),
            tempo: plan.tempo,
        };
        let seed = SeedState {
            seed_id: request.seed_id,
            blueprint_id: request.blueprint_id,
            blend_id: blend,
            stage: Stage::Germinated,
            previous_stage: Stage::Dormant,
            previous_epochs_in_stage: 0,
            alpha,
            epochs_in_stage: 0,
            epochs_total: 0,
            metrics: SeedMetrics::default(),
            seed_params: request.seed_params,
            gate_params: request.gate_params,
            host_params: request.host_params,
            history: VecDeque::from([(Stage::Germinated, self.now)]),
            scheduled_prune: None,
            tempo_unit: plan.unit,
            tempo: plan.tempo,
        };
        self.occupy(seed, germinated);
        if request.preinstalled {
            self.fossilize_preinstalled();
        }
        Ok(())
    }

    /// Checks that the slot can receive a seed.
    ///
    /// # Errors
    /// `slot_occupied` if the slot holds a seed or is in a cooldown.
    pub fn check_vacant(&self) -> Result<(), Refusal> {
        let Some(seed) = &self.seed else { return Ok(()) };
        let (slot, stage) = (self.slot_id(), seed.stage);
        let text = if seed.is_living() {
            format!("slot `{slot}` holds seed `{}` in {stage}", seed.seed_id)
        } else {
            format!("slot `{slot}` is in the cooldown ({stage}) after seed `{}`", seed.seed_id)
        };
        Err(Refusal::new(RefusalCode::SlotOccupied, text))
    }

    /// Moves the seed to its next stage, or to `target`, if the gate passes, and returns the new stage. Does
    /// not move alpha or count an epoch.
    ///
    /// # Errors
    /// `empty_slot`, `illegal_transition`, `prune_scheduled`, `gate_failed`. Only the last emits an event.
    pub fn advance(&mut self, target: Option<Stage>) -> Result<Stage, Refusal> {
        self.advance_with(target, true)
    }

    /// Handles [`advance`](Self::advance) where other ranks did not agree: a gate that would have passed
    /// fails with `ddp_veto`.
    ///
    /// # Errors
    /// Always; as [`advance`](Self::advance).
    pub fn advance_vetoed(&mut self, target: Option<Stage>) -> Result<Stage, Refusal> {
        self.advance_with(target, false)
    }

    fn advance_with(&mut self, target: Option<Stage>, consent: bool) -> Result<Stage, Refusal> {
        let from = self.occupied()?.stage;
        let (gate, to) = self.gate_to(target).ok_or_else(|| {
            let direction = target.map_or_else(|| "any further".to_owned(), |t| format!("to {t}"));
            let text =
                format!("slot `{}` is in {from}; it cannot advance {direction} from there", self.slot_id());
            Refusal::new(RefusalCode::IllegalTransition, text)
        })?;
        self.refuse_if_leaving()?;
        match self.evaluate_gate(gate, to, consent) {
            Some(result) if result.passed => {
                self.transition(to);
                Ok(to)
            }
            Some(result) => Err(Refusal::new(RefusalCode::GateFailed, result.message)),
            None => Err(self.empty()),
        }
    }

    /// Returns the gate and the stage of an advance to `target`; `None` if it is not legal. From BLENDING,
    /// HOLDING is a legal target even if SHADOWING is enabled.
    fn gate_to(&self, target: Option<Stage>) -> Option<(Gate, Stage)> {
        let (gate, next) = self.next_gate()?;
        match target {
            None => Some((gate, next)),
            Some(named) if named == next => Some((gate, next)),
            Some(Stage::Holding) if self.stage() == Stage::Blending => Some((gate, Stage::Holding)),
            Some(_) => None,
        }
    }

    /// Starts a ramp of alpha to `target` in `steps` ticks, in BLENDING and HOLDING. From HOLDING the seed
    /// goes back to BLENDING without a gate. `curve` applies to this ramp only. Does nothing if alpha has
    /// that value already.
    ///
    /// # Errors
    /// `non_finite`, `out_of_range`, `empty_slot`, `wrong_stage`, `prune_scheduled`, `ramp_in_progress`.
    pub fn set_alpha_target(&mut self, target: f64, steps: u32, curve: Option<Curve>) -> Result<(), Refusal> {
        positive_up_to("target", target, 1.0)?;
        curve.as_ref().map_or(Ok(()), Curve::check)?;
        let stage = self.occupied()?.stage;
        if !matches!(stage, Stage::Blending | Stage::Holding) {
            let text =
                format!("slot `{}` is in {stage}; alpha can move in BLENDING and HOLDING", self.slot_id());
            return Err(Refusal::new(RefusalCode::WrongStage, text));
        }
        self.refuse_if_leaving()?;
        let alpha = &self.occupied()?.alpha;
        alpha.refuse_during_ramp()?;
        if alpha.is_at(target) {
            return Ok(());
        }
        if stage == Stage::Holding {
            self.transition(Stage::Blending);
        }
        self.occupied()?.alpha.retarget(target, steps, curve)
    }

    /// Replaces the seed's own curve after its blend was exchanged, without changing alpha.
    ///
    /// # Errors
    /// `empty_slot`; `out_of_range` or `non_finite` for an invalid table.
    pub fn exchange_curve(&mut self, curve: Curve) -> Result<(), Refusal> {
        self.occupied()?.alpha.exchange_curve(curve)
    }

    /// Restores alpha and its ramp, to undo [`exchange_curve`](Self::exchange_curve) before the next step.
    pub fn restore_ramp(&mut self, alpha: AlphaController) {
        if let Some(seed) = &mut self.seed {
            seed.alpha = alpha;
        }
    }

    /// Ends the ramp at the present alpha, which becomes the target, after a failure of the seed's blend.
    ///
    /// # Errors
    /// `empty_slot`, `prune_scheduled`.
    pub fn freeze_alpha(&mut self) -> Result<(), Refusal> {
        self.refuse_if_leaving()?;
        self.occupied()?.alpha.freeze();
        Ok(())
    }

    /// Removes the seed, in any stage from GERMINATED to HOLDING, also during a ramp or a scheduled prune.
    /// The slot is then empty, or in its cooldown.
    ///
    /// # Errors
    /// `empty_slot`; `illegal_transition` for a fossilized seed and in a cooldown.
    pub fn prune(&mut self, reason: &str, initiator: Initiator) -> Result<(), Refusal> {
        self.check_prunable()?;
        self.remove(reason, initiator);
        Ok(())
    }

    /// Ramps alpha down to 0 in `steps` ticks, then removes the seed. If alpha is 0 already or `steps` is 0,
    /// the seed is removed at once. `curve` applies to this ramp; if absent, the seed's own curve is used.
    ///
    /// # Errors
    /// Those of [`prune`](Self::prune); `prune_scheduled`; `wrong_stage` in SHADOWING, unless the seed is
    /// removed at once, because alpha cannot fall there; `out_of_range` or `non_finite` for the curve.
    pub fn schedule_prune(&mut self, steps: u32, reason: &str, curve: Option<Curve>) -> Result<(), Refusal> {
        curve.as_ref().map_or(Ok(()), Curve::check)?;
        let seed = self.occupied()?;
        let at_once = steps == 0 || seed.alpha.alpha() <= TOLERANCE;
        if seed.stage == Stage::Shadowing && !at_once {
            let text = format!(
                "slot `{}` is in SHADOWING; alpha cannot go down from there, prune it at once or wait for HOLDING",
                self.slot_id()
            );
            return Err(Refusal::new(RefusalCode::WrongStage, text));
        }
        self.check_prunable()?;
        self.refuse_if_leaving()?;
        if at_once {
            self.remove(reason, Initiator::Policy);
            return Ok(());
        }
        let seed = self.occupied()?;
        if seed.stage == Stage::Holding {
            self.transition(Stage::Blending);
        }
        let seed = self.occupied()?;
        seed.alpha.ramp_out(steps, curve);
        seed.scheduled_prune = Some(reason.to_owned());
        Ok(())
    }

    /// Checks that the seed can be pruned in its stage.
    fn check_prunable(&self) -> Result<(), Refusal> {
        let seed = self.seed.as_ref().ok_or_else(|| self.empty())?;
        if seed.stage.may_become(Stage::Pruned) {
            return Ok(());
        }
        let text =
            format!("slot `{}` is in {}; it cannot be pruned in this stage", self.slot_id(), seed.stage);
        Err(Refusal::new(RefusalCode::IllegalTransition, text))
    }
}
