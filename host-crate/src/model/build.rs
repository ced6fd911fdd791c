//! Building a model: the host from its plugin, the requested slots, and their features.

use super::events::EventLog;
use super::frozen::FrozenHost;
use super::growth::Growth;
use super::network::{HOST_OWNER, Network};
use super::slots::{Slots, describe};
use super::structure::Structure;
use super::swapping::Swapping;
use super::telemetry::Telemetry;
use super::{ModelConfig, ModelError, MorphogeneticModel};
use crate::consensus::SingleRank;
use crate::graft::{Features, Pulse, SeedSlot, contract, layout, trainable};
use kasmina_plugin_api::abi::HostInstance;
use kasmina_plugin_api::{Kind, Layout, Mode, PluginError, Result, SlotSpec, TapHandler};
use kasmina_registry::{Entry, Registry};
use kasmina_torch_ext::autograd;
use kasmina_torch_ext::flops::FlopCounter;
use kasmina_torch_ext::rng::{RngFork, derive_seed};
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink, Role};
use std::collections::BTreeSet;
use std::sync::Arc;
use tch::Tensor;

impl MorphogeneticModel {
    /// Builds the host and its slots. `sample` is a small batch of real input, run in eval mode to observe
    /// the features at each slot and to check that the host does not mix samples.
    ///
    /// # Shapes
    /// `sample`: `[batch, ...]` as the host requires, `batch` at least 2.
    ///
    /// # Errors
    /// If the host is missing, refuses its configuration or breaks the plugin contract; if a slot is unknown,
    /// named twice or of another topology than the task's; if a setting is out of bounds.
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
        let wanted = resolve_slots(&entry, host.slots(), &config.slots)?;
        let (features, multiply_adds) = {
            let _precision = config.precision.scope(config.device)?;
            observe(&entry, &mut host, sample)?
        };
        let (mut slots, mut taps) = (Vec::new(), Vec::new());
        let pulse = Arc::new(Pulse::default());
        for (tap, (spec, features)) in host.slots().iter().zip(features.iter().cloned()).enumerate() {
            let requested = wanted.contains(&tap);
            taps.push(requested.then_some(slots.len()));
            if requested {
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
        let layout = layout_of(&features);
        let parameters = trainable(HOST_OWNER, host.variables()?);
        layout::apply_layout(&parameters, layout)?;
        let network = Network {
            instance: host,
            entry,
            config: config.host_config.clone(),
            parameters,
            multiply_adds,
            layout,
            device: config.device,
            precision: config.precision,
            frozen: config.freeze_host.then(FrozenHost::default),
        };
        let slots = Slots::new(slots, taps);
        let structure = Structure::new(pulse, network.entry(), &slots);
        Ok(Self {
            network,
            slots,
            structure,
            growth: Growth::new(config.seed, config.max_seeds, config.task.alpha.clone()),
            swapping: Swapping::new(config.trial, config.on_panic.clone()),
            telemetry: Telemetry::new(config),
            events: EventLog::default(),
            consensus: Box::new(SingleRank),
        })
    }

    /// Adds the host's parameters to an optimizer, unless the host is frozen.
    ///
    /// # Errors
    /// If the optimizer refuses them.
    pub fn register_host(&self, sink: &mut dyn ParameterSink) -> std::result::Result<(), ModelError> {
        if self.network.frozen.is_some() {
            return Ok(());
        }
        let parameters = self.network.parameters.iter().map(NamedParameter::share).collect();
        let ticket =
            sink.prepare(Change::Add { owner: HOST_OWNER.to_owned(), role: Role::Host, parameters })?;
        sink.commit(ticket);
        Ok(())
    }
}

/// Returns the layout of a host's features: that at its first slot, or contiguous without slots.
fn layout_of<'f>(features: impl IntoIterator<Item = &'f Features>) -> Layout {
    features.into_iter().next().map_or(Layout::Contiguous, |first| first.layout)
}

/// Returns the indices of the requested slots among the host's, which `specs` lists.
fn resolve_slots(
    entry: &Entry,
    specs: &[SlotSpec],
    requested: &[String],
) -> std::result::Result<BTreeSet<usize>, ModelError> {
    let mut named: Vec<(usize, &String)> = Vec::new();
    for name in requested {
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

/// Refuses a slot of another topology than the task's.
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

/// Tap handler that records the features at each slot and returns them unchanged.
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

/// Runs a sample through the host; returns the features at each slot and the multiply-adds per sample.
///
/// Refuses a host that does not visit each slot once in order, or that mixes samples.
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
            "declares the slots {} but visits numbers {visited:?}; it must visit each slot once, in order",
            names.join(", ")
        )));
    }
    // The counterfactual pass stacks samples of several variants in one batch, so the host must not mix them.
    let counter = FlopCounter::start()?;
    let first =
        tch::no_grad(|| host.forward(&sample.f_narrow(0, 0, 1)?, Mode::Eval, &mut Observer::default()));
    let (multiply_adds, first) = (counter.finish()?, first.map_err(failed)?);
    let close = contract::is_close(&whole.f_narrow(0, 0, 1)?, &first).map_err(failed)?;
    if !close {
        return Err(broken("returns another output for a sample when it is alone in its batch".to_owned()));
    }
    Ok((observer.seen.into_iter().map(|(_, features)| features).collect(), multiply_adds))
}
