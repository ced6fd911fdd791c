//! Building a model: the host from its plugin, the slots that were asked for, and what flows through them.

use super::{
    HOST_OWNER, ModelError, MorphogeneticModel, PanicPolicies, Precision, TrialSettings, next_structure,
};
use crate::consensus::Solo;
use crate::graft::{Features, Pulse, SeedSlot, contract, layout, trainable};
use crate::lifecycle::TaskConfig;
use kasmina_plugin_api::abi::HostInstance;
use kasmina_plugin_api::{Kind, Layout, Mode, PluginError, Result, SlotSpec, TapHandler};
use kasmina_registry::{Entry, Registry};
use kasmina_torch_ext::autograd;
use kasmina_torch_ext::flops::FlopCounter;
use kasmina_torch_ext::rng::{RngFork, derive_seed};
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tch::{Device, Tensor};

/// What a model is made of.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// The host's id.
    pub host: String,
    /// Its configuration, as JSON; empty for the default.
    pub host_config: String,
    /// Slots by name or alias; empty for a host without slots.
    pub slots: Vec<String>,
    /// What the task settles for every slot.
    pub task: TaskConfig,
    /// Where the model lives.
    pub device: Device,
    /// The run's seed; every initial weight follows from it and from names.
    pub seed: u64,
    /// Steps of an epoch, over which alpha moves to where the lifecycle puts it at its edge; 0 jumps there.
    pub glide_steps: u32,
    /// Gradients are measured every so many steps.
    pub telemetry_interval: u64,
    /// A shadow check proves isolation every so many measurements; 0 is never.
    pub isolation_check_interval: u64,
    /// A breach of isolation ends the run, as in tests; otherwise it is telemetry.
    pub fail_on_breach: bool,
    /// For rollouts: no gradients and no health are measured, and events below stage level are not emitted. A gate
    /// that needs a missing number fails.
    pub fast_mode: bool,
    /// What convolutions and matrix products compute in.
    pub precision: Precision,
    /// How a build proves itself once it has been swapped in.
    pub trial: TrialSettings,
    /// What is done about a panic in a live call.
    pub on_panic: PanicPolicies,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            host: String::new(),
            host_config: String::new(),
            slots: Vec::new(),
            task: TaskConfig::default(),
            device: Device::Cpu,
            seed: 0,
            glide_steps: 0,
            telemetry_interval: 4,
            isolation_check_interval: 0,
            fail_on_breach: false,
            fast_mode: false,
            precision: Precision::default(),
            trial: TrialSettings::default(),
            on_panic: PanicPolicies::default(),
        }
    }
}

impl MorphogeneticModel {
    /// Builds the host and its slots. `sample` is one small batch of real input; it flows through once, in eval
    /// mode, to show what each slot will see and that the host keeps its samples apart.
    ///
    /// # Shapes
    /// `sample`: `[N, ..]` as the task has it, `N` at least 2.
    ///
    /// # Errors
    /// If the host is missing, refuses, or breaks a promise; if a slot is unknown or named twice.
    pub fn build(
        registry: &Registry,
        config: &ModelConfig,
        sample: &Tensor,
    ) -> std::result::Result<Self, ModelError> {
        config.task.validate()?;
        let entry = registry.resolve(Kind::Host, &config.host)?;
        let mut host = {
            let _fork = RngFork::seeded(derive_seed(config.seed, &[HOST_OWNER]))?;
            entry.make_host(config.device, &config.host_config)?
        };
        let wanted = choose(&entry, host.slots(), &config.slots)?;
        let (features, multiply_adds) = {
            let _precision = config.precision.scope(config.device)?;
            observe(&entry, &mut host, sample)?
        };
        let (mut slots, mut taps) = (Vec::new(), Vec::new());
        let pulse = Arc::new(Pulse::default());
        for (tap, (spec, features)) in host.slots().iter().zip(features.iter().cloned()).enumerate() {
            let asked_for = wanted.contains(&tap);
            taps.push(asked_for.then_some(slots.len()));
            if asked_for {
                refuse_topology(&entry, spec, config.task.topology.as_deref())?;
                let rules = config.task.lifecycle.clone();
                slots.push(SeedSlot::new(
                    spec.clone(),
                    features,
                    rules,
                    config.fast_mode,
                    config.glide_steps,
                    Arc::clone(&pulse),
                ));
            }
        }
        let host_parameters = trainable(HOST_OWNER, host.variables()?);
        layout::settle(&host_parameters, layout_of(&features))?;
        let mut model = Self {
            host,
            host_entry: entry,
            host_config: config.host_config.clone(),
            host_parameters,
            layout: layout_of(&features),
            slots,
            taps,
            device: config.device,
            seed: config.seed,
            step: 0,
            alpha: config.task.alpha.clone(),
            telemetry_interval: config.telemetry_interval.max(1),
            isolation_check_interval: config.isolation_check_interval,
            fail_on_breach: config.fail_on_breach,
            fast_mode: config.fast_mode,
            precision: config.precision,
            structure: next_structure(),
            events: Vec::new(),
            probed: BTreeMap::new(),
            host_multiply_adds: multiply_adds,
            prefetches: Vec::new(),
            trial: config.trial,
            on_trial: None,
            on_panic: config.on_panic.clone(),
            pulse,
            fault: None,
            consensus: Box::new(Solo),
        };
        model.restructured();
        Ok(model)
    }

    /// Hands the host's parameters to an optimizer.
    ///
    /// # Errors
    /// If it refuses them.
    pub fn register_host(&self, sink: &mut dyn ParameterSink) -> std::result::Result<(), ModelError> {
        let parameters = self.host_parameters.iter().map(NamedParameter::share).collect();
        let ticket =
            sink.prepare(Change::Add { owner: HOST_OWNER.to_owned(), role: Role::Host, parameters })?;
        sink.commit(ticket);
        Ok(())
    }
}

/// How a host's features lie: as they do where they can be seen.
pub(super) fn layout_of<'f>(features: impl IntoIterator<Item = &'f Features>) -> Layout {
    features.into_iter().next().map_or(Layout::Contiguous, |first| first.layout)
}

/// The positions of the slots asked for.
fn choose(
    entry: &Entry,
    specs: &[SlotSpec],
    asked: &[String],
) -> std::result::Result<BTreeSet<usize>, ModelError> {
    let mut named: Vec<(usize, &String)> = Vec::new();
    for name in asked {
        let position = specs.iter().position(|s| s.answers_to(name));
        let Some(position) = position else {
            return Err(ModelError::UnknownSlot {
                host: entry.full_name(),
                slot: name.clone(),
                known: specs.iter().map(describe).collect(),
            });
        };
        if let Some((_, first)) = named.iter().find(|(p, _)| *p == position) {
            return Err(ModelError::SlotTwice {
                host: entry.full_name(),
                first: (*first).clone(),
                second: name.clone(),
            });
        }
        named.push((position, name));
    }
    Ok(named.into_iter().map(|(position, _)| position).collect())
}

/// Refuses a slot through which something else flows than the task says.
fn refuse_topology(
    entry: &Entry,
    spec: &SlotSpec,
    wanted: Option<&str>,
) -> std::result::Result<(), ModelError> {
    let found = spec.topology.as_str();
    match wanted {
        Some(wanted) if wanted != found => Err(ModelError::Topology {
            host: entry.full_name(),
            slot: spec.name.clone(),
            found: found.to_owned(),
            wanted: wanted.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// A slot by its name and its aliases.
pub(super) fn describe(spec: &SlotSpec) -> String {
    if spec.aliases.is_empty() {
        spec.name.clone()
    } else {
        format!("{} ({})", spec.name, spec.aliases.join(", "))
    }
}

/// Notes what passes each slot and lets it pass.
#[derive(Default)]
struct Observer {
    seen: Vec<(usize, Features)>,
}

impl TapHandler for Observer {
    fn at(&mut self, slot: usize, x: Tensor) -> Result<Tensor> {
        let channels_last = autograd::is_channels_last(&x).unwrap_or(false) && !x.is_contiguous();
        let layout = if channels_last { Layout::ChannelsLast } else { Layout::Contiguous };
        let shape = x.size().get(1..).unwrap_or_default().to_vec();
        self.seen.push((slot, Features { shape, dtype: x.kind(), layout, device: x.device() }));
        Ok(x)
    }
}

fn observe(
    entry: &Entry,
    host: &mut HostInstance,
    sample: &Tensor,
) -> std::result::Result<(Vec<Features>, u64), ModelError> {
    let broken = |what: String| ModelError::Host { host: entry.full_name(), what };
    let failed = |error: PluginError| ModelError::Forward { host: entry.full_name(), error };
    let _fork = RngFork::seeded(0)?;
    let mut observer = Observer::default();
    let whole = tch::no_grad(|| host.forward(sample, Mode::Eval, &mut observer)).map_err(failed)?;

    let visited: Vec<usize> = observer.seen.iter().map(|(slot, _)| *slot).collect();
    if !visited.iter().copied().eq(0..host.slots().len()) {
        let names: Vec<_> = host.slots().iter().map(|s| s.name.as_str()).collect();
        return Err(broken(format!(
            "declares the slots {} and visits numbers {visited:?}; each is visited once, in order",
            names.join(", ")
        )));
    }
    // The batched counterfactual stacks samples; a host that lets them influence each other would falsify it.
    let counter = FlopCounter::start()?;
    let first =
        tch::no_grad(|| host.forward(&sample.f_narrow(0, 0, 1)?, Mode::Eval, &mut Observer::default()));
    let (multiply_adds, first) = (counter.finish()?, first.map_err(failed)?);
    let alike = contract::alike(&whole.f_narrow(0, 0, 1)?, &first).map_err(failed)?;
    if !alike {
        return Err(broken("gives a sample another output when it is alone in its batch".to_owned()));
    }
    Ok((observer.seen.into_iter().map(|(_, features)| features).collect(), multiply_adds))
}
