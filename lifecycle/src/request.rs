//! Requests to a slot: germinate, advance, retarget, prune. A request is carried out completely, or refused
//! and changes nothing.

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
    /// Takes a seed in: DORMANT to GERMINATED.
    ///
    /// # Errors
    /// `out_of_range` or `non_finite` for the blend's numbers, `slot_occupied`, `gate_failed` (G0).
    pub fn germinate(&mut self, request: Germination) -> Result<(), Refusal> {
        let (blend, plan) = (request.blend.id, request.blend.alpha);
        if plan.tempo == 0 {
            return Err(Refusal::new(RefusalCode::OutOfRange, "tempo is 0; a ramp takes at least 1"));
        }
        // The state machine does not know blends. The caller looks up the blend's curve and passes it in the
        // plan.
        let alpha = AlphaController::new(plan.target, plan.curve.unwrap_or_default(), plan.steepness)?;
        self.vacant()?;
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

    /// Whether a seed may be taken in.
    ///
    /// # Errors
    /// `slot_occupied`, in a cooldown too.
    pub fn vacant(&self) -> Result<(), Refusal> {
        let Some(seed) = &self.seed else { return Ok(()) };
        let (slot, stage) = (self.slot_id(), seed.stage);
        let text = if seed.is_living() {
            format!("slot `{slot}` holds seed `{}` in {stage}", seed.seed_id)
        } else {
            format!("slot `{slot}` rests in {stage} after seed `{}`", seed.seed_id)
        };
        Err(Refusal::new(RefusalCode::SlotOccupied, text))
    }

    /// Asks for the next stage, or for the one named. Neither ticks nor counts.
    ///
    /// # Errors
    /// `empty_slot`, `illegal_transition`, `prune_scheduled`, `gate_failed`; only the last leaves an event.
    pub fn advance(&mut self, target: Option<Stage>) -> Result<Stage, Refusal> {
        self.advance_with(target, true)
    }

    /// The same request where other ranks did not agree: a gate that would have passed fails with `ddp_veto`.
    ///
    /// # Errors
    /// Always; as [`advance`](Self::advance).
    pub fn advance_vetoed(&mut self, target: Option<Stage>) -> Result<Stage, Refusal> {
        self.advance_with(target, false)
    }

    fn advance_with(&mut self, target: Option<Stage>, consent: bool) -> Result<Stage, Refusal> {
        let from = self.occupied()?.stage;
        let (gate, to) = self.step_up(target).ok_or_else(|| {
            let direction = target.map_or_else(|| "any further".to_owned(), |t| format!("to {t}"));
            let text = format!(
                "slot `{}` is in {from}; advance does not lead {direction} from there",
                self.slot_id()
            );
            Refusal::new(RefusalCode::IllegalTransition, text)
        })?;
        self.not_leaving()?;
        match self.ask(gate, to, consent) {
            Some(result) if result.passed => {
                self.transition(to);
                Ok(to)
            }
            Some(result) => Err(Refusal::new(RefusalCode::GateFailed, result.message)),
            None => Err(self.empty()),
        }
    }

    /// The step that an advance may make. HOLDING may be named from BLENDING also where SHADOWING is enabled.
    fn step_up(&self, target: Option<Stage>) -> Option<(Gate, Stage)> {
        let (gate, next) = self.next_gate()?;
        match target {
            None => Some((gate, next)),
            Some(named) if named == next => Some((gate, next)),
            Some(Stage::Holding) if self.stage() == Stage::Blending => Some((gate, Stage::Holding)),
            Some(_) => None,
        }
    }

    /// Sends alpha to another target, in BLENDING and HOLDING; from HOLDING the seed goes back to BLENDING
    /// without a gate. A curve given holds for this ramp. Steps are ticks of the seed's own clock.
    ///
    /// # Errors
    /// `non_finite`, `out_of_range`, `empty_slot`, `wrong_stage`, `prune_scheduled`, `ramp_in_progress`.
    pub fn set_alpha_target(&mut self, target: f64, steps: u32, curve: Option<Curve>) -> Result<(), Refusal> {
        positive_up_to("target", target, 1.0)?;
        curve.as_ref().map_or(Ok(()), Curve::check)?;
        let stage = self.occupied()?.stage;
        if !matches!(stage, Stage::Blending | Stage::Holding) {
            let text =
                format!("slot `{}` is in {stage}; alpha moves in BLENDING and HOLDING", self.slot_id());
            return Err(Refusal::new(RefusalCode::WrongStage, text));
        }
        self.not_leaving()?;
        let alpha = &self.occupied()?.alpha;
        alpha.at_rest()?;
        if alpha.is_at(target) {
            return Ok(());
        }
        if stage == Stage::Holding {
            self.transition(Stage::Blending);
        }
        self.occupied()?.alpha.retarget(target, steps, curve)
    }

    /// Gives the seed's ramps another shape, with alpha where it is: its blend has been exchanged.
    ///
    /// # Errors
    /// `empty_slot`; `out_of_range` or `non_finite` for a table that is no curve.
    pub fn exchange_curve(&mut self, curve: Curve) -> Result<(), Refusal> {
        self.occupied()?.alpha.exchange(curve)
    }

    /// Puts a ramp back to where it was, between the same two steps.
    pub fn restore_ramp(&mut self, alpha: AlphaController) {
        if let Some(seed) = &mut self.seed {
            seed.alpha = alpha;
        }
    }

    /// Leaves alpha where it is, for good: its blend cannot be trusted to move it.
    ///
    /// # Errors
    /// `empty_slot`, `prune_scheduled`.
    pub fn freeze_alpha(&mut self) -> Result<(), Refusal> {
        self.not_leaving()?;
        self.occupied()?.alpha.freeze();
        Ok(())
    }

    /// Removes the seed: GERMINATED to HOLDING, mid-ramp and on its way out included. The slot is free in the
    /// same call, or begins its cooldown.
    ///
    /// # Errors
    /// `empty_slot`; `illegal_transition` for a fossil and in a cooldown.
    pub fn prune(&mut self, reason: &str, initiator: Initiator) -> Result<(), Refusal> {
        self.prunable()?;
        self.remove(reason, initiator);
        Ok(())
    }

    /// Ramps alpha down, then removes the seed with its reason. Where alpha is at 0 already, or no steps are
    /// given, the seed goes at once. A curve given stands for the seed's own, sampled for this ramp.
    ///
    /// # Errors
    /// As [`prune`](Self::prune); `wrong_stage` in SHADOWING, from which no legal way leads down (at once is
    /// no way down, and legal); `prune_scheduled`.
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
        self.prunable()?;
        self.not_leaving()?;
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

    /// Whether a prune would be accepted.
    fn prunable(&self) -> Result<(), Refusal> {
        let seed = self.seed.as_ref().ok_or_else(|| self.empty())?;
        if seed.stage.may_become(Stage::Pruned) {
            return Ok(());
        }
        let text =
            format!("slot `{}` is in {}; nothing leads from there to PRUNED", self.slot_id(), seed.stage);
        Err(Refusal::new(RefusalCode::IllegalTransition, text))
    }
}
