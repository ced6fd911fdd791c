//! The state machine of one slot, which holds at most one seed. One function performs all transitions.
//!
//! The operations are in other files: measurements in [`measure`](super::measure), the end of an epoch in
//! [`step`](super::step), requests in [`request`](super::request).

use super::event::{Event, EventKind, Initiator};
use super::gate::{Gate, GateResult};
use super::judge;
use super::refusal::{Refusal, RefusalCode};
use super::settings::Settings;
use super::stage::Stage;
use super::state::{LifecycleState, SeedState};
use super::units::Percent;

/// Number of transitions that the state of a seed keeps.
const HISTORY: usize = 100;

/// The lifecycle of one slot.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    slot_id: String,
    topology: String,
    pub(super) settings: Settings,
    /// Whether only stage-level events are emitted (`fast_mode`).
    stage_events_only: bool,
    pub(super) seed: Option<SeedState>,
    events: Vec<Event>,
    pub(super) now: u64,
}

impl Lifecycle {
    /// Creates the lifecycle of an empty slot. The caller must have validated the settings.
    pub fn new(slot_id: impl Into<String>, topology: impl Into<String>, settings: Settings) -> Self {
        let (seed, events) = (None, Vec::new());
        Self {
            slot_id: slot_id.into(),
            topology: topology.into(),
            settings,
            stage_events_only: false,
            seed,
            events,
            now: 0,
        }
    }

    /// Sets whether only stage-level events are emitted, as in `fast_mode`. Decisions do not change.
    #[must_use]
    pub fn with_stage_events_only(mut self, stage_events_only: bool) -> Self {
        self.stage_events_only = stage_events_only;
        self
    }

    /// Returns the state between two operations, for checkpoints.
    pub fn state(&self) -> LifecycleState {
        LifecycleState { seed: self.seed.clone(), events: self.events.clone(), now: self.now }
    }

    /// Returns a copy of this lifecycle with the same slot and settings, in a stored state.
    #[must_use]
    pub fn restored(&self, state: LifecycleState) -> Self {
        let LifecycleState { seed, events, now } = state;
        Self { seed, events, now, ..self.clone() }
    }

    /// Sets the time of later transitions, in milliseconds since 1970. The machine has no clock of its own.
    pub fn set_clock(&mut self, now: u64) {
        self.now = now;
    }
    /// Name of the slot.
    pub fn slot_id(&self) -> &str {
        &self.slot_id
    }
    /// Topology of the features at the slot: `cnn`, `transformer`, or a host's own.
    pub fn topology(&self) -> &str {
        &self.topology
    }
    /// Settings of the lifecycle.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
    /// State of the seed, or in a cooldown of the removed seed; `None` for an empty slot.
    pub fn seed(&self) -> Option<&SeedState> {
        self.seed.as_ref()
    }
    /// State of the seed; `None` for an empty slot and in a cooldown.
    pub fn living(&self) -> Option<&SeedState> {
        self.seed.as_ref().filter(|s| s.is_living())
    }
    /// Whether a prune of the seed is scheduled.
    pub fn is_leaving(&self) -> bool {
        self.seed.as_ref().is_some_and(SeedState::is_leaving)
    }
    /// Stage of the slot; DORMANT when it is empty.
    pub fn stage(&self) -> Stage {
        self.seed.as_ref().map_or(Stage::Dormant, |s| s.stage)
    }
    /// Share of the seed in the output, in 0 to 1; 0 when the slot is empty.
    pub fn alpha(&self) -> f64 {
        self.seed.as_ref().map_or(0.0, |s| s.alpha.alpha())
    }
    /// Whether the seed's input is detached from the host's gradients in the present stage.
    pub fn isolated(&self) -> bool {
        self.settings.isolation.detaches(self.stage(), &self.topology)
    }
    /// Removes and returns all events, oldest first.
    pub fn drain_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Returns the gate to the next stage, and that stage; `None` if no gate leads on.
    pub fn next_gate(&self) -> Option<(Gate, Stage)> {
        match self.stage() {
            Stage::Germinated => Some((Gate::G1, Stage::Training)),
            Stage::Training => Some((Gate::G2, Stage::Blending)),
            Stage::Blending => Some((Gate::G3, self.settings.after_blending())),
            Stage::Shadowing => Some((Gate::G4, Stage::Holding)),
            Stage::Holding => Some((Gate::G5, Stage::Fossilized)),
            _ => None,
        }
    }

    /// Evaluates the next gate without emitting an event, for scores and explanations.
    pub fn preview(&self) -> Option<GateResult> {
        let (gate, _) = self.next_gate()?;
        Some(judge::evaluate(gate, self.seed.as_ref()?, &self.settings))
    }

    /// Evaluates a gate and emits an event. Without the consent of other ranks the gate cannot pass.
    pub(super) fn evaluate_gate(&mut self, gate: Gate, target: Stage, consent: bool) -> Option<GateResult> {
        let mut result = judge::evaluate(gate, self.seed.as_ref()?, &self.settings);
        if result.passed && !consent {
            result = result.vetoed();
        }
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

    /// Moves the slot to PRUNED, and in the same call on to DORMANT or EMBARGOED.
    pub(super) fn remove(&mut self, reason: &str, initiator: Initiator) {
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
        if self.settings.cooldown_epochs > 0 {
            self.transition(Stage::Embargoed);
        } else {
            self.vacate();
        }
    }

    /// Empties the slot, after an event that still names the removed seed.
    pub(super) fn vacate(&mut self) {
        self.transition(Stage::Dormant);
        self.seed = None;
    }

    /// Changes the stage with all side effects. Every transition goes through this function.
    pub(super) fn transition(&mut self, to: Stage) {
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
        let fossil = (to == Stage::Fossilized).then(|| fossilized(seed));

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
                // Cannot be refused: no ramp ran since germination, which checked the target.
                let _ = seed.alpha.retarget(target, tempo, None);
            }
            Stage::Shadowing | Stage::Holding => seed.alpha.finish_ramp(),
            Stage::Pruned => {
                seed.alpha.clear();
                seed.scheduled_prune = None;
            }
            _ => {}
        }
        seed.metrics.begin_stage();

        self.emit(changed);
        if let Some(fossil) = fossil {
            self.emit(fossil);
        }
    }

    /// Returns the state of the seed, or in a cooldown of the removed seed; refuses an empty slot.
    pub(super) fn occupied(&mut self) -> Result<&mut SeedState, Refusal> {
        let empty = self.empty();
        self.seed.as_mut().ok_or(empty)
    }

    pub(super) fn empty(&self) -> Refusal {
        Refusal::new(RefusalCode::EmptySlot, format!("slot `{}` holds no seed", self.slot_id))
    }

    /// Returns `prune_scheduled` if a prune is scheduled.
    pub(super) fn refuse_if_leaving(&self) -> Result<(), Refusal> {
        let Some(reason) = self.seed.as_ref().and_then(|s| s.scheduled_prune.as_ref()) else { return Ok(()) };
        let text = format!("the seed of slot `{}` is scheduled for removal ({reason:?})", self.slot_id);
        Err(Refusal::new(RefusalCode::PruneScheduled, text))
    }

    pub(super) fn emit(&mut self, kind: EventKind) {
        if self.stage_events_only && !kind.is_stage_level() {
            return;
        }
        let seed_id = self.seed.as_ref().map(|s| s.seed_id.clone());
        self.events.push(Event { kind, slot_id: self.slot_id.clone(), seed_id });
    }

    /// Fossilizes a preinstalled seed, the only kind that skips the gates. No stage was left, so no
    /// SEED_STAGE_CHANGED is emitted.
    pub(super) fn fossilize_preinstalled(&mut self) {
        let now = self.now;
        let Some(seed) = &mut self.seed else { return };
        seed.previous_stage = seed.stage;
        seed.stage = Stage::Fossilized;
        seed.history.push_back((Stage::Fossilized, now));
        seed.alpha.finish_ramp();
        let fossil = fossilized(seed);
        self.emit(fossil);
    }

    /// Stores the state of a seed that has just germinated and emits its event.
    pub(super) fn occupy(&mut self, seed: SeedState, germinated: EventKind) {
        debug_assert!(self.seed.is_none() && seed.stage == Stage::Germinated);
        self.seed = Some(seed);
        self.emit(germinated);
    }
}

fn fossilized(seed: &SeedState) -> EventKind {
    EventKind::SeedFossilized {
        blueprint_id: seed.blueprint_id.clone(),
        improvement: seed.metrics.total_improvement().get(),
        counterfactual: seed.metrics.counterfactual_contribution.map(Percent::get),
        blending_delta: seed.metrics.blending_delta().get(),
        params_added: seed.parameters(),
        epochs_total: seed.epochs_total,
    }
}
