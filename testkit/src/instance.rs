//! An instance of an entry of any kind, with the operations that all kinds share.

use crate::place::Place;
use kasmina_plugin_api::abi::{BlendInstance, HostInstance, SeedInstance, Variable};
use kasmina_plugin_api::{Cx, Mode, PluginError, Result as PluginResult, TapHandler};
use kasmina_registry::{Entry, RegistryError};
use kasmina_torch_ext::autograd::version;
use tch::{Device, Kind, Tensor};

/// Name of the slot in the context of all calls.
const SLOT: &str = "conformance";

pub(crate) enum Instance {
    Seed(SeedInstance),
    Blend(BlendInstance),
    Host(HostInstance),
}

/// All outputs of a forward: the output itself, and the features that a host passes to its taps.
#[derive(Debug)]
pub(crate) struct Outputs {
    pub(crate) output: Tensor,
    pub(crate) features: Vec<Tensor>,
    /// Version counters of these features (numbers of in-place writes) when the tap returned them.
    pub(crate) written: Vec<u32>,
}

impl Outputs {
    /// Returns all tensors with a description.
    pub(crate) fn all(&self) -> impl Iterator<Item = (String, &Tensor)> {
        let features =
            self.features.iter().enumerate().map(|(i, t)| (format!("the features at slot {i}"), t));
        features.chain(std::iter::once(("the output".to_owned(), &self.output)))
    }
}

impl Instance {
    /// Builds an instance of an entry on the CPU. `config` is JSON; an empty string means the default.
    pub(crate) fn make(entry: &Entry, place: &Place, config: &str) -> Result<Self, RegistryError> {
        match (&place.site, entry.kind()) {
            (Some(site), kasmina_plugin_api::Kind::Blueprint) => {
                entry.make_seed(site, config).map(Self::Seed)
            }
            (Some(site), _) => entry.make_blend(site, config).map(Self::Blend),
            (None, _) => entry.make_host(Device::Cpu, config).map(Self::Host),
        }
    }

    pub(crate) fn variables(&self) -> PluginResult<Vec<Variable>> {
        match self {
            Self::Seed(seed) => seed.variables(),
            Self::Blend(blend) => blend.variables(),
            Self::Host(host) => host.variables(),
        }
    }

    /// Returns the trainable variables with their names.
    pub(crate) fn parameters(&self) -> PluginResult<Vec<(String, Tensor)>> {
        Ok(self.variables()?.into_iter().filter(|v| v.trainable).map(|v| (v.name, v.tensor)).collect())
    }

    pub(crate) fn state(&self) -> PluginResult<Vec<u8>> {
        match self {
            Self::Seed(seed) => seed.state(),
            Self::Blend(blend) => blend.state(),
            Self::Host(_) => Ok(Vec::new()),
        }
    }

    pub(crate) fn restore(&mut self, bytes: &[u8], from_version: u32) -> PluginResult<()> {
        match self {
            Self::Seed(seed) => seed.restore(bytes, from_version),
            Self::Blend(blend) => blend.restore(bytes, from_version),
            Self::Host(_) => Ok(()),
        }
    }

    /// Runs one forward: of a seed on `x`; of a blend on `x` and artificial features of a seed, at alpha 0.5;
    /// of a host on `x` without seeds. `x` is a batch of the place that the instance was built for.
    pub(crate) fn outputs(&mut self, x: &Tensor, mode: Mode) -> PluginResult<Outputs> {
        let mut taps = RecordingTaps::default();
        let output = match self {
            Self::Host(host) => host.forward(x, mode, &mut taps)?,
            Self::Seed(seed) => seed.forward(x, &cx(mode))?,
            Self::Blend(blend) => {
                let other = seed_features(x)?;
                mixed(blend, x, &other, 0.5, mode)?
            }
        };
        let outputs = Outputs { output, features: taps.features, written: taps.written };
        let none = outputs.all().find(|(_, tensor)| !tensor.defined()).map(|(what, _)| what);
        match none {
            Some(what) => Err(PluginError::contract(format!("{what} is an undefined tensor"))),
            None => Ok(outputs),
        }
    }

    /// Runs one forward and returns its output.
    pub(crate) fn run(&mut self, x: &Tensor, mode: Mode) -> PluginResult<Tensor> {
        self.outputs(x, mode).map(|outputs| outputs.output)
    }

    /// Runs one forward in eval mode without an autograd graph, as measurements do.
    pub(crate) fn measure(&mut self, x: &Tensor) -> PluginResult<Tensor> {
        let _no_grad = tch::no_grad_guard();
        self.run(x, Mode::Eval)
    }
}

/// Returns the context of a call.
pub(crate) fn cx(mode: Mode) -> Cx<'static> {
    Cx::new(mode, 0, SLOT)
}

/// Returns artificial features of a seed, which differ from `x`. Each element depends only on the same
/// element of `x`, so that samples and positions stay independent.
pub(crate) fn seed_features(x: &Tensor) -> PluginResult<Tensor> {
    Ok(x.f_mul_scalar(-0.5)?.f_add_scalar(0.25)?)
}

/// Returns an alpha as a scalar tensor: float64 for float64 features, float32 otherwise.
pub(crate) fn alpha(features: &Tensor, value: f64) -> PluginResult<Tensor> {
    let kind = if features.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    Ok(Tensor::f_full([], value, (kind, features.device()))?)
}

/// Mixes the features of host and seed with the gate of the blend, as a slot does.
pub(crate) fn mixed(
    blend: &mut BlendInstance,
    host: &Tensor,
    seed: &Tensor,
    value: f64,
    mode: Mode,
) -> PluginResult<Tensor> {
    let alpha = alpha(host, value)?;
    let alpha = match blend.gate(host, &cx(mode))? {
        Some(gate) => gate.f_mul(&alpha)?,
        None => alpha,
    };
    blend.mix(host, seed, &alpha, &cx(mode))
}

/// Taps that return their features unchanged and record them.
#[derive(Debug, Default)]
struct RecordingTaps {
    features: Vec<Tensor>,
    written: Vec<u32>,
}

impl TapHandler for RecordingTaps {
    fn at(&mut self, _: usize, x: Tensor) -> PluginResult<Tensor> {
        self.written.push(version(&x).map_err(|e| PluginError::other(e.to_string()))?);
        self.features.push(x.shallow_clone());
        Ok(x)
    }
}
