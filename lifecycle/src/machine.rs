//! The machine itself: one slot, at most one seed, and one place that performs a transition.
//!
//! What goes in is apart from it: measurements in [`measure`](super::measure), the epoch's own step in
//! [`step`](super::step), requests in [`request`](super::request).

use super::event::{Event, EventKind, Initiator};
use super::gate::{Gate, GateResult};
use super::judge;
use super::refusal::{Refusal, RefusalCode};
use super::settings::Settings;
use super::stage::Stage;
use super::state::{LifecycleState, SeedState};
use super::units::Percent;

/// Transitions that a seed remembers.
const HISTORY: usize = 100;

/// The lifecycle of one slot.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    slot_id: String,
    topology: String,
    pub(super) settings: Settings,
    /// `fast_mode`: no event below stage level.
    brief: bool,
    pub(super) seed: Option<SeedState>,
    events: Vec<Event>,
    pub(super) now: u64,
}

impl Lifecycle {
    /// An empty slot. The settings are taken as validated.
    pub fn new(slot_id: impl Into<String>, topology: impl Into<String>, settings: Settings) -> Self {
        let (seed, events) = (None, Vec::new());
        Self {
            slot_id: slot_id.into(),
            topology: topology.into(),
            settings,
            brief: false,
            seed,
            events,
            now: 0,
        }
    }

    /// Emits events of stage level only, as `fast_mode` wants it. Decisions are the same.
    #[must_use]
    pub fn with_stage_events_only(mut self, brief: bool) -> Self {
        self.brief = brief;
        self
    }

    /// What it keeps between two operations.
    pub fn state(&self) -> LifecycleState {
        LifecycleState { seed: self.seed.clone(), events: self.events.clone(), now: self.now }
    }

    /// The same slot with the same settings, in a state that was kept.
    #[must_use]
    pub fn restored(&self, state: LifecycleState) -> Self {
        let LifecycleState { seed, events, now } = state;
        Self { seed, events, now, ..self.clone() }
    }

    /// Tells the time that transitions are recorded with; the machine has no clock of its own.
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
    /// Settings that the lifecycle decides by.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
    /// The seed that lives here, or the memory of one in a cooldown.
    pub fn seed(&self) -> Option<&SeedState> {
        self.seed.as_ref()
    }
    /// The seed, if one lives here.
    pub fn living(&self) -> Option<&SeedState> {
        self.seed.as_ref().filter(|s| s.is_living())
    }
    /// Whether a seed lives here that is on its way out.
    pub fn is_leaving(&self) -> bool {
        self.seed.as_ref().is_some_and(SeedState::is_leaving)
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
        self.settings.isolation.detaches(self.stage(), &self.topology)
    }
    /// Takes the events out, oldest first.
    pub fn drain_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The gate before the next stage up and that stage, where there is one.
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

    /// What the next gate would say now. Emits nothing: for scores and explanations.
    pub fn preview(&self) -> Option<GateResult> {
        let (gate, _) = self.next_gate()?;
        Some(judge::evaluate(gate, self.seed.as_ref()?, &self.settings))
    }

    /// Asks a gate, and says so in an event. Without the consent of other ranks it cannot pass.
    pub(super) fn ask(&mut self, gate: Gate, target: Stage, consent: bool) -> Option<GateResult> {
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

    /// X to PRUNED, and in the same call on to DORMANT or EMBARGOED: PRUNED is never seen at rest.
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

    /// The slot is free: the last event still names the seed that left.
    pub(super) fn vacate(&mut self) {
        self.transition(Stage::Dormant);
        self.seed = None;
    }

    /// The one place where a stage changes, with every side effect, whoever asked for it.
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
                // At rest since germination, and the target was checked then: this cannot be refused.
                let _ = seed.alpha.retarget(target, tempo, None);
            }
            Stage::Shadowing | Stage::Holding => seed.alpha.settle(),
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

    /// The state of the seed, or of the cooldown; refuses an empty slot.
    pub(super) fn occupied(&mut self) -> Result<&mut SeedState, Refusal> {
        let empty = self.empty();
        self.seed.as_mut().ok_or(empty)
    }

    pub(super) fn empty(&self) -> Refusal {
        Refusal::new(RefusalCode::EmptySlot, format!("slot `{}` holds no seed", self.slot_id))
    }

    /// Refuses while the seed is on its way out.
    pub(super) fn not_leaving(&self) -> Result<(), Refusal> {
        let Some(reason) = self.seed.as_ref().and_then(|s| s.scheduled_prune.as_ref()) else { return Ok(()) };
        let text = format!("the seed of slot `{}` is on its way out ({reason:?})", self.slot_id);
        Err(Refusal::new(RefusalCode::PruneScheduled, text))
    }

    pub(super) fn emit(&mut self, kind: EventKind) {
        if self.brief && !kind.is_stage_level() {
            return;
        }
        let seed_id = self.seed.as_ref().map(|s| s.seed_id.clone());
        self.events.push(Event { kind, slot_id: self.slot_id.clone(), seed_id });
    }

    /// Fossilizes a preinstalled seed, the only one that skips the gates. It has left no stage, so there is
    /// no event of a changed stage.
    pub(super) fn fossilize_preinstalled(&mut self) {
        let now = self.now;
        let Some(seed) = &mut self.seed else { return };
        seed.previous_stage = seed.stage;
        seed.stage = Stage::Fossilized;
        seed.history.push_back((Stage::Fossilized, now));
        seed.alpha.settle();
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
