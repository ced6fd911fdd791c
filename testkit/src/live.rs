//! A living instance of any kind, so that what is asked of all of them is written once.

use crate::place::Place;
use kasmina_plugin_api::abi::{BlendInstance, HostInstance, SeedInstance, Variable};
use kasmina_plugin_api::{Cx, Mode, PluginError, Result as PluginResult, TapHandler};
use kasmina_registry::{Entry, RegistryError};
use kasmina_torch_ext::autograd::version;
use tch::{Device, Kind, Tensor};

const SLOT: &str = "conformance";

pub(crate) enum Live {
    Seed(SeedInstance),
    Blend(BlendInstance),
    Host(HostInstance),
}

/// What a forward shows: the output, and what a host hands to its taps.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) output: Tensor,
    pub(crate) features: Vec<Tensor>,
    /// How often each of these had been written to when its tap returned it.
    pub(crate) written: Vec<u32>,
}

impl Shown {
    pub(crate) fn all(&self) -> impl Iterator<Item = (String, &Tensor)> {
        let features =
            self.features.iter().enumerate().map(|(i, t)| (format!("the features at slot {i}"), t));
        features.chain(std::iter::once(("the output".to_owned(), &self.output)))
    }
}

impl Live {
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

    /// Parameters with their names.
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

    /// One call as training or measuring makes it: a seed's features; a blend's mixture of them with a
    /// companion's at half its gate; a host's output with nothing grafted.
    pub(crate) fn show(&mut self, x: &Tensor, mode: Mode) -> PluginResult<Shown> {
        let mut taps = Open::default();
        let output = match self {
            Self::Host(host) => host.forward(x, mode, &mut taps)?,
            Self::Seed(seed) => seed.forward(x, &cx(mode))?,
            Self::Blend(blend) => {
                let other = companion(x)?;
                mixed(blend, x, &other, 0.5, mode)?
            }
        };
        let shown = Shown { output, features: taps.features, written: taps.written };
        let none = shown.all().find(|(_, tensor)| !tensor.defined()).map(|(what, _)| what);
        match none {
            Some(what) => Err(PluginError::contract(format!("{what} is a tensor that is none"))),
            None => Ok(shown),
        }
    }

    pub(crate) fn run(&mut self, x: &Tensor, mode: Mode) -> PluginResult<Tensor> {
        self.show(x, mode).map(|shown| shown.output)
    }

    /// [`run`](Self::run) in eval mode, as a measurement has it: without a graph.
    pub(crate) fn measure(&mut self, x: &Tensor) -> PluginResult<Tensor> {
        let _no_grad = tch::no_grad_guard();
        self.run(x, Mode::Eval)
    }
}

pub(crate) fn cx(mode: Mode) -> Cx<'static> {
    Cx::new(mode, 0, SLOT)
}

/// The features of a seed that is not there: like the host's, sample by sample and position by position, and
/// apart from them.
pub(crate) fn companion(x: &Tensor) -> PluginResult<Tensor> {
    Ok(x.f_mul_scalar(-0.5)?.f_add_scalar(0.25)?)
}

/// In what alpha is kept beside features of a dtype: float32 at least.
pub(crate) fn alpha(features: &Tensor, value: f64) -> PluginResult<Tensor> {
    let kind = if features.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    Ok(Tensor::f_full([], value, (kind, features.device()))?)
}

/// Gate and mix, as a slot does it.
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

/// Taps with nothing grafted, that remember what passed.
#[derive(Debug, Default)]
struct Open {
    features: Vec<Tensor>,
    written: Vec<u32>,
}

impl TapHandler for Open {
    fn at(&mut self, _: usize, x: Tensor) -> PluginResult<Tensor> {
        self.written.push(version(&x).map_err(|e| PluginError::other(e.to_string()))?);
        self.features.push(x.shallow_clone());
        Ok(x)
    }
}
