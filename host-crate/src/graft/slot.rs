//! One slot: its lifecycle, and the seed that lives in it.

use super::contract;
use super::glide::Glide;
use super::layout;
use super::monitor::GradientIsolationMonitor;
use super::pulse::Pulse;
use crate::lifecycle::{AlphaController, Isolation, Lifecycle, SeedState, Settings, Stage, TempoUnit};
use crate::model::Intervention;
use kasmina_plugin_api::abi::{BlendInstance, SeedInstance, Variable};
use kasmina_plugin_api::{Capability, Layout, Mode, PluginError, Site, SlotSpec};
use kasmina_registry::Entry;
use kasmina_torch_ext::NamedParameter;
use kasmina_torch_ext::rng::RngStream;
use std::sync::Arc;
use std::time::Duration;
use tch::{Device, Kind, Tensor};

/// What flows through a slot, seen in a real forward of the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Shape of one sample.
    pub shape: Vec<i64>,
    /// Their dtype.
    pub dtype: Kind,
    /// How they lie in memory.
    pub layout: Layout,
    /// Where they are.
    pub device: Device,
}

/// What a living seed is built from, as it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) blueprint: Entry,
    pub(crate) blend: Entry,
    /// Configurations as they were given, to build the same again on another device.
    pub(crate) blueprint_config: String,
    pub(crate) blend_config: String,
}

/// A seed that lives: instances, handles on their parameters, and alpha on the device.
#[derive(Debug)]
pub(crate) struct LiveSeed {
    pub(crate) origin: Origin,
    pub(crate) seed: SeedInstance,
    pub(crate) blend: BlendInstance,
    /// 0-dim, written only between steps.
    pub(crate) alpha: Tensor,
    pub(crate) alpha_value: f64,
    /// Of the seed's forward, per sample; known from its probe.
    pub(crate) multiply_adds: u64,
    /// Its blend promises that at alpha 1 only the seed is left.
    pub(crate) seed_at_one: bool,
    /// Trainable, named `slot.<slot>.seed.<n>` and `slot.<slot>.blend.<n>`, sorted.
    pub(crate) seed_parameters: Vec<NamedParameter>,
    pub(crate) blend_parameters: Vec<NamedParameter>,
    /// Stochastic seeds draw from here.
    pub(crate) stream: Option<RngStream>,
    /// The build of its blend before the last exchange that held.
    pub(crate) earlier_blend: Option<Entry>,
    /// Its blend was exchanged not long ago.
    pub(crate) trial: Option<Trial>,
}

/// A blend that was exchanged and still has to prove itself.
#[derive(Debug)]
pub(crate) struct Trial {
    /// Training steps that it still has to hold.
    pub(crate) steps_left: u32,
    /// What a call of it may take.
    pub(crate) budget: Duration,
    /// What it stands in for.
    pub(crate) before: Before,
}

/// A blend as it was when another took its place; its variables have not moved since.
#[derive(Debug)]
pub(crate) struct Before {
    pub(crate) entry: Entry,
    pub(crate) blend: BlendInstance,
    pub(crate) parameters: Vec<NamedParameter>,
    pub(crate) seed_at_one: bool,
    pub(crate) alpha: AlphaController,
}

/// A call of a living instance that failed.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) part: Part,
    pub(crate) error: PluginError,
}

/// Whose call it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Seed,
    Blend,
}

impl LiveSeed {
    /// Brings two fresh instances to life in a slot of this name and site, with alpha at this value.
    pub(crate) fn new(
        slot: &str,
        site: &Site,
        origin: Origin,
        (seed, blend): (SeedInstance, BlendInstance),
        alpha_value: f64,
    ) -> Result<Self, PluginError> {
        let seed_parameters = trainable(&seed_group(slot), seed.variables()?);
        let blend_parameters = trainable(&blend_group(slot), blend.variables()?);
        layout::settle(&seed_parameters, site.layout())?;
        layout::settle(&blend_parameters, site.layout())?;
        Ok(Self {
            seed_parameters,
            blend_parameters,
            alpha: Tensor::f_full([], alpha_value, (contract::alpha_kind(site.dtype()), site.device()))?,
            alpha_value,
            seed_at_one: origin.blend.declares(Capability::SeedAtOne),
            stream: None,
            earlier_blend: None,
            trial: None,
            multiply_adds: 0,
            origin,
            seed,
            blend,
        })
    }

    /// Trainable parameters of seed and blend.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &NamedParameter> {
        self.seed_parameters.iter().chain(&self.blend_parameters)
    }

    /// Writes alpha to the device, if it is another than before.
    pub(crate) fn set_alpha(&mut self, alpha: f64) -> Result<(), PluginError> {
        if self.alpha_value != alpha {
            let _ = self.alpha.f_fill_(alpha)?;
            self.alpha_value = alpha;
        }
        Ok(())
    }

    /// Whether the features that flow on are the host's own.
    pub(crate) fn is_silent(&self) -> bool {
        self.alpha_value == 0.0
    }

    /// Whether the features that flow on are the seed's own: its blend has nothing to do any more.
    pub(crate) fn is_whole(&self) -> bool {
        self.alpha_value == 1.0 && self.seed_at_one
    }

    /// From now on nothing of it learns. What flows through it to the host still does.
    pub(crate) fn freeze(&self) {
        for parameter in self.parameters() {
            let _ = parameter.tensor.set_requires_grad(false);
        }
    }
}

/// Everything about a slot that decides which kernels a training step runs there; structure apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, compared as a whole")]
pub(crate) struct Course {
    runs: bool,
    silent: bool,
    whole: bool,
    isolated: bool,
    leaving: bool,
    learning: bool,
    shadowing: bool,
}

/// A point of the host where one seed may live at a time. It may move between threads and is used by one.
#[derive(Debug)]
pub struct SeedSlot {
    pub(crate) spec: SlotSpec,
    pub(crate) features: Features,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) live: Option<LiveSeed>,
    pub(crate) monitor: GradientIsolationMonitor,
    /// Where alpha is on its way to where the lifecycle has put it.
    glide: Glide,
    /// An alpha that stands for the lifecycle's while a guard lives.
    pub(crate) forced: Option<f64>,
    /// Training steps since the last edge of an epoch, for ramps that count them.
    pub(crate) ticks: u32,
    /// What its ramp was told meanwhile.
    pub(crate) interventions: Vec<Intervention>,
    /// Where it is told whose call is being made.
    pub(crate) pulse: Arc<Pulse>,
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

    /// The slot's own name.
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
    /// What flows through it.
    pub fn features(&self) -> &Features {
        &self.features
    }
    /// Where its seed stands.
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
        self.live.as_ref().map(|l| (&l.origin.blueprint, &l.origin.blend))
    }
    /// Who owns its seed's parameters in an optimizer, if a seed lives here that has some.
    pub fn seed_owner(&self) -> Option<String> {
        let learns = self.live.as_ref().is_some_and(|live| !live.seed_parameters.is_empty());
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

    /// Whether its seed gives the host no gradient. At alpha 0 that is so in every stage: the host's own features flow on,
    /// and it must learn by their gradient. The seed's, which the straight-through estimator lets pass, would come on
    /// top of it, whole, as if both were added up.
    pub(crate) fn is_isolated(&self) -> bool {
        self.is_isolated_at(self.lifecycle.alpha())
    }

    /// The same by the alpha that it is mixed by now, which a guard may have forced.
    pub(crate) fn is_isolated_as_mixed(&self) -> bool {
        self.live.as_ref().is_some_and(|live| self.is_isolated_at(live.alpha_value))
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
    pub(crate) fn course(&self) -> Course {
        let stage = self.lifecycle.stage();
        Course {
            runs: self.live.is_some() && stage.is_active(),
            silent: self.live.as_ref().is_some_and(LiveSeed::is_silent),
            whole: self.live.as_ref().is_some_and(LiveSeed::is_whole),
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
}

/// The owner of a seed's parameters in an optimizer, and the beginning of their names.
pub(crate) fn seed_group(slot: &str) -> String {
    format!("slot.{slot}.seed")
}

/// The same of a blend's parameters.
pub(crate) fn blend_group(slot: &str) -> String {
    format!("slot.{slot}.blend")
}

/// The trainable ones of an instance's variables, by their full names.
pub(crate) fn trainable(group: &str, variables: Vec<Variable>) -> Vec<NamedParameter> {
    variables
        .into_iter()
        .filter(|v| v.trainable)
        .map(|v| NamedParameter { name: format!("{group}.{}", v.name), tensor: v.tensor })
        .collect()
}
