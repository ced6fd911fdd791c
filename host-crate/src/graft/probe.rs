//! The probe that a seed must pass before it may live: forward and backward on the slot's real feature shape.

use super::contract;
use super::slot::Features;
use kasmina_plugin_api::abi::{BlendInstance, SeedInstance, Variable};
use kasmina_plugin_api::{Cx, Layout, Mode, PluginError};
use kasmina_torch_ext::rng::{RngFork, RngState};
use kasmina_torch_ext::{autograd, norm};
use tch::{Kind, Tensor};

const PROBE_SEED: u64 = 0x6b61_736d_696e_6101;
const PROBE_BATCH: i64 = 2;

/// Why a seed may not live here.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// A call failed, or broke a promise.
    #[error("{0}")]
    Failed(#[from] PluginError),
    /// Its output has NaN or infinite values.
    #[error("it makes values that are not finite")]
    NonFinite,
    /// None of its parameters receives a gradient.
    #[error(
        "none of its {parameters} parameters receives a gradient: it is dead at birth and would never learn"
    )]
    Dead {
        /// How many parameters it has.
        parameters: usize,
    },
    /// It draws random numbers without saying so.
    #[error("it draws random numbers but does not declare the capability `stochastic`")]
    UndeclaredRandomness,
    /// libtorch failed around it.
    #[error("{0}")]
    Torch(String),
}

impl From<kasmina_torch_ext::Error> for ProbeError {
    fn from(error: kasmina_torch_ext::Error) -> Self {
        Self::Torch(error.to_string())
    }
}

impl From<tch::TchError> for ProbeError {
    fn from(error: tch::TchError) -> Self {
        Self::Failed(error.into())
    }
}

/// Probes a seed and its blend. Generators, running statistics, gradients and the seed's own state are as before
/// when it returns, whatever it returns.
pub(crate) fn probe(
    seed: &mut SeedInstance,
    blend: &mut BlendInstance,
    features: &Features,
    stochastic: bool,
    state_version: u32,
) -> Result<(), ProbeError> {
    let _fork = RngFork::seeded(PROBE_SEED)?;
    let variables = seed.variables()?;
    let buffers: Vec<(Tensor, Tensor)> = tch::no_grad(|| {
        variables
            .iter()
            .filter(|v| !v.trainable)
            .map(|v| (v.tensor.shallow_clone(), v.tensor.copy()))
            .collect()
    });
    let state = seed.state()?;

    let verdict = examine(seed, blend, features, stochastic, &variables);

    let parameters = variables.iter().filter(|v| v.trainable).map(|v| &v.tensor);
    norm::clear_gradients(parameters)?;
    tch::no_grad(|| {
        for (mut buffer, before) in buffers {
            buffer.copy_(&before);
        }
    });
    if verdict.is_ok() && !state.is_empty() {
        seed.restore(&state, state_version)?;
    }
    verdict
}

fn examine(
    seed: &mut SeedInstance,
    blend: &mut BlendInstance,
    features: &Features,
    stochastic: bool,
    variables: &[Variable],
) -> Result<(), ProbeError> {
    let x = sample(features)?;
    let cx = Cx::new(Mode::Train, 0, "probe");
    let (before, written) = (RngState::save()?, autograd::version(&x)?);
    let output = seed.forward(&x, &cx)?;
    if !stochastic && !before.same_as(&RngState::save()?) {
        return Err(ProbeError::UndeclaredRandomness);
    }
    if autograd::version(&x)? != written {
        return Err(PluginError::contract("it wrote to its input in place").into());
    }
    contract::like(&x, &output, "it")?;
    finite(&output)?;
    live(&output, variables)?;

    tch::no_grad(|| {
        let eval = Cx::new(Mode::Eval, 0, "probe");
        let output = seed.forward(&x, &eval)?;
        contract::like(&x, &output, "in eval mode it")?;
        finite(&output)?;
        let alpha = Tensor::f_full([], 0.5, (features.dtype, features.device))?;
        if let Some(gate) = blend.gate(&x, &eval)? {
            contract::per_sample(&x, &gate)?;
            finite(&gate)?;
        }
        let mixed = blend.mix(&x, &output, &alpha, &eval)?;
        contract::like(&x, &mixed, "the blend")?;
        finite(&mixed)
    })
}

fn sample(features: &Features) -> Result<Tensor, ProbeError> {
    let shape: Vec<i64> = std::iter::once(PROBE_BATCH).chain(features.shape.iter().copied()).collect();
    let x = Tensor::f_randn(shape, (Kind::Float, features.device))?.f_to_kind(features.dtype)?;
    match features.layout {
        Layout::ChannelsLast => Ok(autograd::to_channels_last(&x)?),
        Layout::Contiguous => Ok(x),
    }
}

fn finite(output: &Tensor) -> Result<(), ProbeError> {
    let all = output.detach().f_isfinite()?.f_all()?;
    if read(&all)? == 0.0 { Err(ProbeError::NonFinite) } else { Ok(()) }
}

/// One backward; at least one parameter must receive a gradient that is not zero, unless there are none.
fn live(output: &Tensor, variables: &[Variable]) -> Result<(), ProbeError> {
    let parameters: Vec<&Tensor> = variables.iter().filter(|v| v.trainable).map(|v| &v.tensor).collect();
    if parameters.is_empty() {
        return Ok(());
    }
    let dead = ProbeError::Dead { parameters: parameters.len() };
    if !output.requires_grad() {
        return Err(dead);
    }
    // A random direction: the plain sum is constant behind a normalisation.
    let direction = output.detach().f_randn_like()?;
    (output * direction).f_sum(Kind::Float)?.f_backward()?;
    let Some(gradient) = norm::grad_norm(parameters.iter().copied())?.norm else { return Err(dead) };
    let value = read(&gradient)?;
    if !value.is_finite() {
        return Err(ProbeError::NonFinite);
    }
    if value == 0.0 { Err(dead) } else { Ok(()) }
}

/// Reads one number; probing is no step, waiting is allowed here.
fn read(scalar: &Tensor) -> Result<f64, ProbeError> {
    Ok(scalar.f_to_kind(Kind::Double)?.f_double_value(&[])?)
}
