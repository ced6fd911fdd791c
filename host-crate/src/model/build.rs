//! Building a model: the host from its plugin, the slots that were asked for, and what flows through them.

use super::{HOST_OWNER, ModelError, MorphogeneticModel};
use crate::graft::{Features, SeedSlot};
use crate::lifecycle::Settings;
use kasmina_plugin_api::abi::HostInstance;
use kasmina_plugin_api::{Kind, Layout, Mode, PluginError, Result, SlotSpec, TapHandler};
use kasmina_registry::{Entry, Registry};
use kasmina_torch_ext::autograd;
use kasmina_torch_ext::rng::{RngFork, derive_seed};
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink, Role};
use std::collections::BTreeSet;
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
    /// The rules of every slot.
    pub settings: Settings,
    /// Where the model lives.
    pub device: Device,
    /// The run's seed; every initial weight follows from it and from names.
    pub seed: u64,
    /// Gradients are measured every so many steps.
    pub telemetry_interval: u64,
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
        config.settings.validate()?;
        let entry = registry.resolve(Kind::Host, &config.host)?.clone();
        let mut host = {
            let _fork = RngFork::seeded(derive_seed(config.seed, &[HOST_OWNER]))?;
            entry.make_host(config.device, &config.host_config)?
        };
        let wanted = choose(&entry, host.slots(), &config.slots)?;
        let features = observe(&entry, &mut host, sample)?;
        let (mut slots, mut taps) = (Vec::new(), Vec::new());
        for (tap, (spec, features)) in host.slots().iter().zip(features).enumerate() {
            let asked_for = wanted.contains(&tap);
            taps.push(asked_for.then_some(slots.len()));
            if asked_for {
                slots.push(SeedSlot::new(spec.clone(), features, config.settings.clone()));
            }
        }
        let host_parameters = host
            .variables()?
            .into_iter()
            .filter(|v| v.trainable)
            .map(|v| NamedParameter { name: format!("{HOST_OWNER}.{}", v.name), tensor: v.tensor })
            .collect();
        Ok(Self {
            host,
            host_entry: entry,
            host_parameters,
            slots,
            taps,
            device: config.device,
            seed: config.seed,
            step: 0,
            telemetry_interval: config.telemetry_interval.max(1),
            events: Vec::new(),
            probed: BTreeSet::new(),
        })
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

fn describe(spec: &SlotSpec) -> String {
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
) -> std::result::Result<Vec<Features>, ModelError> {
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
    let first =
        tch::no_grad(|| host.forward(&sample.f_narrow(0, 0, 1)?, Mode::Eval, &mut Observer::default()))
            .map_err(failed)?;
    if !whole.f_narrow(0, 0, 1)?.f_allclose(&first, 1e-3, 1e-4, false)? {
        return Err(broken("gives a sample another output when it is alone in its batch".to_owned()));
    }
    Ok(observer.seen.into_iter().map(|(_, features)| features).collect())
}
