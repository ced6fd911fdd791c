//! One slot: its lifecycle, and the seed that lives in it.

use super::features::Features;
use super::glide::Glide;
use super::kernel_state::SlotKernelState;
use super::live_seed::LiveSeed;
use super::monitor::{GradientIsolationMonitor, Mark, Queued};
use super::parameters::seed_group;
use super::pulse::Pulse;
use crate::lifecycle::{
    Event, GradientCapture, Intervene, Intervention, Isolation, Lifecycle, Operation, Refusal, SeedState,
    Settings, SlotInputs, Stage, TempoUnit,
};
use kasmina_plugin_api::{Capability, Mode, PluginError, Site, SlotSpec};
use kasmina_registry::Entry;
use kasmina_torch_ext::NamedParameter;
use std::sync::Arc;
use tch::{Device, Tensor};

/// A point of the host where one seed may live at a time. It may move between threads and is used by one.
#[derive(Debug)]
pub struct SeedSlot {
    pub(super) spec: SlotSpec,
    pub(super) features: Features,
    pub(super) lifecycle: Lifecycle,
    pub(super) live: Option<LiveSeed>,
    pub(super) monitor: GradientIsolationMonitor,
    /// Where alpha is on its way to where the lifecycle has put it.
    pub(super) glide: Glide,
    /// An alpha that stands for the lifecycle's while a guard lives.
    pub(super) forced: Option<f64>,
    /// Training steps since the last edge of an epoch, for ramps that count them.
    pub(super) ticks: u32,
    /// What its ramp was told meanwhile.
    pub(super) interventions: Vec<Intervention>,
    /// Says whose call is being made.
    pub(super) pulse: Arc<Pulse>,
}

impl SeedSlot {
    pub(crate) fn new(
        spec: SlotSpec,
        features: Features,
        settings: Settings,
        fast: bool,
        glide_steps: u32,
        pulse: Arc<Pulse>,
    ) -> Self {
        let lifecycle =
            Lifecycle::new(spec.name.clone(), spec.topology, settings).with_stage_events_only(fast);
        let monitor = GradientIsolationMonitor::default();
        Self {
            spec,
            features,
            lifecycle,
            live: None,
            monitor,
            glide: Glide::new(glide_steps),
            forced: None,
            ticks: 0,
            interventions: Vec::new(),
            pulse,
        }
    }

    /// Name of the slot, without its aliases.
    pub fn name(&self) -> &str {
        &self.spec.name
    }
    /// Whether this is its name or one of its aliases.
    pub fn answers_to(&self, name: &str) -> bool {
        self.spec.answers_to(name)
    }
    /// What the host declares of it.
    pub fn spec(&self) -> &SlotSpec {
        &self.spec
    }
    /// Shape, type and device of the features at the slot.
    pub fn features(&self) -> &Features {
        &self.features
    }
    /// Lifecycle of the slot.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }
    /// Where a seed would be built.
    pub fn site(&self) -> Site {
        Site::new(self.spec.topology, self.spec.channels)
            .with_layout(self.features.layout)
            .with_device(self.features.device)
            .with_dtype(self.features.dtype)
    }
    /// The blueprint, blend and builds of the seed that lives here.
    pub fn entries(&self) -> Option<(&Entry, &Entry)> {
        self.live.as_ref().map(|live| (&live.seed.entry, &live.blend.entry))
    }
    /// Who owns its seed's parameters in an optimizer, if a seed lives here that has some.
    pub fn seed_owner(&self) -> Option<String> {
        let learns = self.live.as_ref().is_some_and(|live| !live.seed.parameters.is_empty());
        learns.then(|| seed_group(self.name()))
    }
    /// Its trainable parameters, the seed's then the blend's, sorted by name.
    pub fn parameters(&self) -> impl Iterator<Item = &NamedParameter> {
        self.live.iter().flat_map(LiveSeed::parameters)
    }

    /// Whether its seed is active and can still learn.
    pub(crate) fn is_learning(&self) -> bool {
        let stage = self.lifecycle.stage();
        // A fossil's activity decides nothing any more.
        stage.is_active() && stage != Stage::Fossilized && !self.lifecycle.is_leaving()
    }

    /// Whether its seed gives the host no gradient. At alpha 0 that is so in every stage: the host's own
    /// features flow on, and it must learn by their gradient. The seed's, which the straight-through
    /// estimator lets pass, would come on top of it, whole, as if both were added up.
    pub(crate) fn is_isolated(&self) -> bool {
        self.is_isolated_at(self.lifecycle.alpha())
    }

    /// The same by the alpha that it is mixed by now, which a guard may have forced.
    pub(super) fn is_isolated_as_mixed(&self) -> bool {
        self.live.as_ref().is_some_and(|live| self.is_isolated_at(live.alpha.value()))
    }

    fn is_isolated_at(&self, alpha: f64) -> bool {
        let silent = alpha == 0.0 && self.lifecycle.stage().is_active();
        self.lifecycle.isolated() || silent && self.lifecycle.settings().isolation != Isolation::Never
    }

    /// Whether its seed is learning and promises the host no gradient: what a shadow check is for.
    pub(crate) fn promises_isolation(&self) -> bool {
        self.is_learning() && self.is_isolated()
    }

    /// What it does to the features of a training step.
    pub(crate) fn kernel_state(&self) -> SlotKernelState {
        let stage = self.lifecycle.stage();
        SlotKernelState {
            runs: self.live.is_some() && stage.is_active(),
            silent: self.live.as_ref().is_some_and(LiveSeed::is_silent),
            seed_only: self.live.as_ref().is_some_and(LiveSeed::is_seed_only),
            isolated: self.is_isolated_as_mixed(),
            leaving: self.lifecycle.is_leaving(),
            learning: self.is_learning(),
            shadowing: stage == Stage::Shadowing,
        }
    }

    /// One training step, for a ramp that counts them and for an alpha on its way.
    pub(crate) fn tick(&mut self) {
        self.ticks += u32::from(self.lifecycle.tick());
        self.glide.tick();
    }

    /// The alpha to mix by. What is measured is measured at the lifecycle's.
    fn alpha(&mut self, mode: Mode) -> f64 {
        if let Some(forced) = self.forced {
            return forced;
        }
        let alpha = self.lifecycle.alpha();
        let by_epoch = |seed: &SeedState| seed.tempo_unit == TempoUnit::Epoch;
        let mixed = matches!(self.lifecycle.stage(), Stage::Blending | Stage::Shadowing | Stage::Holding);
        match mode {
            Mode::Eval => alpha,
            Mode::Train if mixed && self.lifecycle.seed().is_some_and(by_epoch) => self.glide.towards(alpha),
            Mode::Train => self.glide.rest(alpha),
        }
    }

    /// Writes alpha to the device if it has moved. Between steps only.
    pub(crate) fn sync_alpha(&mut self, mode: Mode) -> Result<(), PluginError> {
        let alpha = self.alpha(mode);
        self.live.as_mut().map_or(Ok(()), |live| live.set_alpha(alpha))
    }

    /// Seed with its blend; absent in an empty slot.
    pub(crate) fn live(&self) -> Option<&LiveSeed> {
        self.live.as_ref()
    }

    /// Puts a seed in with the lifecycle that has taken it. Cannot fail.
    pub(crate) fn install(&mut self, live: LiveSeed, lifecycle: Lifecycle) {
        self.monitor.register(live.seed.parameters.iter().map(|p| &p.tensor));
        self.live = Some(live);
        self.lifecycle = lifecycle;
    }

    /// Makes the next state of its lifecycle its state; returns whether its seed has left. A seed that is
    /// gone from the state leaves, and its memory is freed; one that is on its way out stops learning. Cannot
    /// fail.
    pub(crate) fn set_lifecycle(&mut self, next: Lifecycle) -> bool {
        let mut left = false;
        match next.living() {
            None if self.live.is_some() => {
                left = true;
                self.live = None;
                self.monitor.reset();
            }
            Some(seed) if seed.is_leaving() && !self.lifecycle.is_leaving() => {
                self.live.iter().for_each(LiveSeed::freeze);
            }
            _ => {}
        }
        self.lifecycle = next;
        left
    }

    /// Gives its lifecycle some operations, at a time in milliseconds since 1970.
    pub(crate) fn record(&mut self, now: u64, operations: &[Operation]) -> Result<(), Refusal> {
        self.lifecycle.set_clock(now);
        operations.iter().try_for_each(|operation| operation.apply(&mut self.lifecycle).map(drop))
    }

    /// Takes out what its lifecycle tells.
    pub(crate) fn drain_events(&mut self) -> Vec<Event> {
        self.lifecycle.drain_events()
    }

    /// Notes what its ramp is told now, besides ticks.
    pub(crate) fn note_intervention(&mut self, what: Intervene) {
        self.interventions.push(Intervention { after_ticks: self.ticks, what });
    }

    /// Alpha stays where it is, if a ramp is running.
    pub(crate) fn freeze_alpha(&mut self) {
        if self.lifecycle.freeze_alpha().is_ok() {
            self.note_intervention(Intervene::FreezeAlpha);
        }
    }

    /// Forces the alpha that features are mixed by, or lets go of it; returns what was forced before.
    pub(crate) fn force_alpha(&mut self, alpha: Option<f64>) -> Option<f64> {
        std::mem::replace(&mut self.forced, alpha)
    }

    /// Queues the gradient norms of its seed and the host on the device. No host sync.
    pub(crate) fn capture_gradients(
        &mut self,
        host: Option<&Tensor>,
        device: Device,
    ) -> Result<(), PluginError> {
        self.monitor.capture(host, device)
    }

    /// Queues the verdict of a shadow check: a 0-dim boolean, true for a breach.
    pub(crate) fn note_isolation(&mut self, breach: Tensor) {
        self.monitor.note_isolation(breach);
    }

    /// How much it has queued.
    pub(crate) fn mark(&self) -> Mark {
        self.monitor.mark()
    }

    /// Takes out what it has queued since.
    pub(crate) fn split_off(&mut self, mark: Mark) -> Queued {
        self.monitor.split_off(mark)
    }

    /// Queues copies of what a recorded step has measured.
    pub(crate) fn queue_copies(&mut self, queued: &Queued) -> Result<(), PluginError> {
        self.monitor.queue_copies(queued)
    }

    /// Takes out everything that its lifecycle is to be given of this epoch; waits for the device. A seed is
    /// unhealthy if its numbers were not finite in training, or if it has made the network's outputs so in
    /// the evaluation.
    pub(crate) fn take_inputs(
        &mut self,
        contribution: Option<f64>,
        unhealthy: bool,
    ) -> Result<SlotInputs, PluginError> {
        let measured = self.monitor.materialise()?;
        let sane = |c: &GradientCapture| c.seed_norm.is_finite() && c.host_norm.is_finite();
        let trained = measured.finite.map(|finite| finite && measured.captures.iter().all(sane));
        let healthy = if unhealthy { Some(false) } else { trained };
        let living = self.lifecycle.living();
        let settings = self.lifecycle.settings();
        let violations = living.map_or(0, |s| s.metrics.isolation_violations)
            + measured.captures.iter().map(|c| u32::from(c.violation)).sum::<u32>();
        let leaks = !settings.permissive && violations > settings.gates.max_isolation_violations;
        Ok(SlotInputs {
            contribution,
            healthy,
            leaks,
            seed_params: living.map_or(0, |s| s.seed_params),
            host_params: living.map_or(0, |s| s.host_params),
            ticks: std::mem::take(&mut self.ticks),
            interventions: std::mem::take(&mut self.interventions),
            isolation_checks: measured.isolation_checks,
            shadow_distance: measured.distance,
            gradients: measured.captures,
        })
    }

    /// Why a training step cannot be recorded, if what runs here says so.
    pub(crate) fn not_capturable(&self) -> Option<String> {
        let live = self.live.as_ref().filter(|_| self.lifecycle.stage().is_active())?;
        let (blueprint, blend) = (&live.seed.entry, &live.blend.entry);
        if live.seed.is_stochastic() {
            return Some(format!("{} draws random numbers from a stream of its own", blueprint.full_name()));
        }
        let entry = [blueprint, blend].into_iter().find(|e| e.declares(Capability::NotCapturable))?;
        Some(format!("{} `{}` declares `not_capturable`", entry.kind(), entry.full_name()))
    }

    /// The monitor with its queue, where its seed has gone to another device.
    pub(crate) fn monitor_on(
        &self,
        device: Device,
        seed: Option<&LiveSeed>,
    ) -> Result<GradientIsolationMonitor, PluginError> {
        let parameters = seed.into_iter().flat_map(|live| live.seed.parameters.iter().map(|p| &p.tensor));
        self.monitor.moved_to(device, parameters)
    }

    /// Goes on with what was built for it on another device. Cannot fail.
    pub(crate) fn relocate(
        &mut self,
        device: Device,
        live: Option<LiveSeed>,
        monitor: GradientIsolationMonitor,
    ) {
        self.features.device = device;
        (self.live, self.monitor) = (live, monitor);
    }
}
