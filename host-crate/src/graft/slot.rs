//! One slot: its lifecycle, and the seed in it.

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

/// An injection point of the host, which holds at most one seed. `Send`; one thread uses it at a time.
#[derive(Debug)]
pub struct SeedSlot {
    pub(super) spec: SlotSpec,
    pub(super) features: Features,
    pub(super) lifecycle: Lifecycle,
    pub(super) live: Option<LiveSeed>,
    pub(super) monitor: GradientIsolationMonitor,
    /// Moves the alpha of training steps towards the lifecycle's alpha.
    pub(super) glide: Glide,
    /// Alpha that a [`ForcedAlpha`](crate::model::ForcedAlpha) guard sets in place of the lifecycle's.
    pub(super) forced: Option<f64>,
    /// Training steps that a ramp has counted since the end of the last epoch.
    pub(super) ticks: u32,
    /// Interventions in the ramp since the end of the last epoch.
    pub(super) interventions: Vec<Intervention>,
    /// Publishes which plugin call is running, for other threads.
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

    /// Returns the name of the slot.
    pub fn name(&self) -> &str {
        &self.spec.name
    }
    /// Whether `name` is the slot's name or one of its aliases.
    pub fn answers_to(&self, name: &str) -> bool {
        self.spec.answers_to(name)
    }
    /// Returns the host's declaration of the slot.
    pub fn spec(&self) -> &SlotSpec {
        &self.spec
    }
    /// Returns shape, dtype, layout and device of the features at the slot.
    pub fn features(&self) -> &Features {
        &self.features
    }
    /// Returns the lifecycle of the slot.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }
    /// Returns the site that seeds and blends of this slot are built for.
    pub fn site(&self) -> Site {
        Site::new(self.spec.topology, self.spec.channels)
            .with_layout(self.features.layout)
            .with_device(self.features.device)
            .with_dtype(self.features.dtype)
    }
    /// Returns the entries of the seed and of its blend; `None` for an empty slot.
    pub fn entries(&self) -> Option<(&Entry, &Entry)> {
        self.live.as_ref().map(|live| (&live.seed.entry, &live.blend.entry))
    }
    /// Returns the owner name of the seed's parameters in an optimizer; `None` if it has no parameters.
    pub fn seed_owner(&self) -> Option<String> {
        let learns = self.live.as_ref().is_some_and(|live| !live.seed.parameters.is_empty());
        learns.then(|| seed_group(self.name()))
    }
    /// Returns the trainable parameters of the seed, then of the blend, each sorted by name.
    pub fn parameters(&self) -> impl Iterator<Item = &NamedParameter> {
        self.live.iter().flat_map(LiveSeed::parameters)
    }

    /// Whether the gradients of the seed are measured: its stage is active, it is not fossilized, and no
    /// prune is scheduled.
    pub(crate) fn is_measured(&self) -> bool {
        let stage = self.lifecycle.stage();
        // No gate looks at the gradients of a fossilized seed.
        stage.is_active() && stage != Stage::Fossilized && !self.lifecycle.is_leaving()
    }

    /// Whether the host receives no gradient through the seed.
    ///
    /// A seed at alpha 0 is isolated in every stage, unless isolation is `never`: the host's own features
    /// flow on, and the host learns from their gradient. Through the straight-through estimator the seed's
    /// whole gradient would be added to it.
    pub(crate) fn is_isolated(&self) -> bool {
        self.is_isolated_at(self.lifecycle.alpha())
    }

    /// As [`is_isolated`](Self::is_isolated), for the alpha on the device, which a guard may have forced.
    pub(super) fn is_isolated_as_mixed(&self) -> bool {
        self.live.as_ref().is_some_and(|live| self.is_isolated_at(live.alpha.value()))
    }

    fn is_isolated_at(&self, alpha: f64) -> bool {
        let silent = alpha == 0.0 && self.lifecycle.stage().is_active();
        self.lifecycle.isolated() || silent && self.lifecycle.settings().isolation != Isolation::Never
    }

    /// Whether the seed is measured and isolated, so that a shadow check applies to it.
    pub(crate) fn promises_isolation(&self) -> bool {
        self.is_measured() && self.is_isolated()
    }

    /// Returns everything about the slot that decides which kernels a training step runs.
    pub(crate) fn kernel_state(&self) -> SlotKernelState {
        let stage = self.lifecycle.stage();
        SlotKernelState {
            runs: self.live.is_some() && stage.is_active(),
            silent: self.live.as_ref().is_some_and(LiveSeed::is_silent),
            seed_only: self.live.as_ref().is_some_and(LiveSeed::is_seed_only),
            isolated: self.is_isolated_as_mixed(),
            leaving: self.lifecycle.is_leaving(),
            measured: self.is_measured(),
            shadowing: stage == Stage::Shadowing,
        }
    }

    /// Counts a training step for a ramp that counts steps, and for the glide of alpha.
    pub(crate) fn tick(&mut self) {
        self.ticks += u32::from(self.lifecycle.tick());
        self.glide.tick();
    }

    /// Returns the alpha to mix by: in eval mode the lifecycle's, so that measurements do not see the glide.
    fn alpha(&mut self, mode: Mode) -> f64 {
        if let Some(forced) = self.forced {
            return forced;
        }
        let alpha = self.lifecycle.alpha();
        let ramp_counts_epochs = |seed: &SeedState| seed.tempo_unit == TempoUnit::Epoch;
        let mixed = matches!(self.lifecycle.stage(), Stage::Blending | Stage::Shadowing | Stage::Holding);
        match mode {
            Mode::Eval => alpha,
            Mode::Train if mixed && self.lifecycle.seed().is_some_and(ramp_counts_epochs) => {
                self.glide.next_alpha(alpha)
            }
            Mode::Train => self.glide.jump_to(alpha),
        }
    }

    /// Writes alpha to the device if it has changed. For use between steps only.
    pub(crate) fn sync_alpha(&mut self, mode: Mode) -> Result<(), PluginError> {
        let alpha = self.alpha(mode);
        self.live.as_mut().map_or(Ok(()), |live| live.set_alpha(alpha))
    }

    /// Returns the seed with its blend; `None` for an empty slot.
    pub(crate) fn live(&self) -> Option<&LiveSeed> {
        self.live.as_ref()
    }

    /// Puts a seed into the slot, with the lifecycle in which it has germinated. Cannot fail.
    pub(crate) fn install(&mut self, live: LiveSeed, lifecycle: Lifecycle) {
        self.monitor.register(live.seed.parameters.iter().map(|p| &p.tensor));
        self.live = Some(live);
        self.lifecycle = lifecycle;
    }

    /// Replaces the lifecycle by its next state; returns whether the seed was removed.
    ///
    /// A seed that the new state no longer holds is removed and its memory freed; one with a newly scheduled
    /// prune stops learning. Cannot fail.
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

    /// Applies operations to the lifecycle; `now` is in milliseconds since 1970.
    pub(crate) fn record(&mut self, now: u64, operations: &[Operation]) -> Result<(), Refusal> {
        self.lifecycle.set_clock(now);
        operations.iter().try_for_each(|operation| operation.apply(&mut self.lifecycle).map(drop))
    }

    /// Removes and returns the lifecycle's events.
    pub(crate) fn drain_events(&mut self) -> Vec<Event> {
        self.lifecycle.drain_events()
    }

    /// Records an intervention in the ramp at the present tick.
    pub(crate) fn note_intervention(&mut self, what: Intervene) {
        self.interventions.push(Intervention { after_ticks: self.ticks, what });
    }

    /// Stops a running ramp at the present alpha.
    pub(crate) fn freeze_alpha(&mut self) {
        if self.lifecycle.freeze_alpha().is_ok() {
            self.note_intervention(Intervene::FreezeAlpha);
        }
    }

    /// Forces the alpha to mix by, or with `None` stops forcing it; returns the value forced before.
    pub(crate) fn force_alpha(&mut self, alpha: Option<f64>) -> Option<f64> {
        std::mem::replace(&mut self.forced, alpha)
    }

    /// Queues the gradient norms of seed and host on the device. No host sync.
    ///
    /// # Shapes
    /// `host`: 0-dim.
    pub(crate) fn capture_gradients(
        &mut self,
        host: Option<&Tensor>,
        device: Device,
    ) -> Result<(), PluginError> {
        self.monitor.capture(host, device)
    }

    /// Queues the verdict of a shadow check: `breach` is a 0-dim boolean.
    pub(crate) fn note_isolation(&mut self, breach: Tensor) {
        self.monitor.note_isolation(breach);
    }

    /// Returns the present length of the measurement queues.
    pub(crate) fn mark(&self) -> Mark {
        self.monitor.mark()
    }

    /// Removes and returns the measurements queued after `mark`.
    pub(crate) fn split_off(&mut self, mark: Mark) -> Queued {
        self.monitor.split_off(mark)
    }

    /// Queues copies of the measurements of a captured step.
    pub(crate) fn queue_copies(&mut self, queued: &Queued) -> Result<(), PluginError> {
        self.monitor.queue_copies(queued)
    }

    /// Gives a stochastic seed other random numbers from now on.
    pub(crate) fn renew_stream(&mut self, seed: u64) -> Result<(), kasmina_torch_ext::Error> {
        self.live.as_mut().map_or(Ok(()), |live| live.seed.renew_stream(seed))
    }

    /// Removes and returns the lifecycle's inputs of this epoch; waits for the device.
    ///
    /// `unhealthy` says that the network's outputs were not finite in the evaluation because of this seed. A
    /// seed is also unhealthy if its outputs or gradient norms in training were not finite.
    pub(crate) fn take_inputs(
        &mut self,
        contribution: Option<f64>,
        unhealthy: bool,
    ) -> Result<SlotInputs, PluginError> {
        let measured = self.monitor.materialise()?;
        let is_finite = |c: &GradientCapture| c.seed_norm.is_finite() && c.host_norm.is_finite();
        let trained = measured.finite.map(|finite| finite && measured.captures.iter().all(is_finite));
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

    /// Returns why the seed or blend of this slot prevents the capture of training steps; `None` if they do
    /// not.
    pub(crate) fn not_capturable(&self) -> Option<String> {
        let live = self.live.as_ref().filter(|_| self.lifecycle.stage().is_active())?;
        let (blueprint, blend) = (&live.seed.entry, &live.blend.entry);
        if live.seed.is_stochastic() {
            let name = blueprint.full_name();
            return Some(format!("blueprint `{name}` draws random numbers (`stochastic`)"));
        }
        let entry = [blueprint, blend].into_iter().find(|e| e.declares(Capability::NotCapturable))?;
        Some(format!("{} `{}` declares `not_capturable`", entry.kind(), entry.full_name()))
    }

    /// Returns a copy of the monitor and its queues on another device, watching `seed`.
    pub(crate) fn monitor_on(
        &self,
        device: Device,
        seed: Option<&LiveSeed>,
    ) -> Result<GradientIsolationMonitor, PluginError> {
        let parameters = seed.into_iter().flat_map(|live| live.seed.parameters.iter().map(|p| &p.tensor));
        self.monitor.moved_to(device, parameters)
    }

    /// Replaces seed and monitor by those built on another device. Cannot fail.
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
