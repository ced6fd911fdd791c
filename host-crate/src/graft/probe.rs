//! The probe that a seed must pass before it germinates: forward and backward on features like the slot's.

use super::buffers::Buffers;
use super::contract;
use super::features::Features;
use kasmina_plugin_api::abi::{BlendInstance, SeedInstance, Variable};
use kasmina_plugin_api::guard::guard;
use kasmina_plugin_api::{Capability, Cx, Layout, Mode, PluginError};
use kasmina_registry::Entry;
use kasmina_torch_ext::cuda::graph;
use kasmina_torch_ext::flops::FlopCounter;
use kasmina_torch_ext::rng::{RngFork, RngState};
use kasmina_torch_ext::{autograd, norm};
use tch::{Kind, Tensor};

/// Seed of torch's generators during a probe.
const PROBE_SEED: u64 = 0x6b61_736d_696e_6101;
/// Number of samples in the probe's batch.
const PROBE_BATCH: i64 = 2;
/// Number of calls after which changed generators count as drawn by the plugin.
///
/// The generators belong to the process, so a host on another thread (dropout) may change them during a call.
/// A plugin that draws changes them in every call.
const ATTEMPTS: u32 = 4;

/// Why a seed or blend does not fit a slot.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// A call failed or broke the plugin contract.
    #[error(transparent)]
    Failed(#[from] PluginError),
    /// Its output has NaN or infinite values.
    #[error("it makes values that are not finite")]
    NonFinite,
    /// None of its parameters receives a gradient.
    #[error("none of its {parameters} parameters receives a gradient, so it would never learn")]
    Dead {
        /// Number of trainable parameter tensors.
        parameters: usize,
    },
    /// It draws random numbers without declaring `stochastic`.
    #[error("it draws random numbers but does not declare the capability `stochastic`")]
    UndeclaredRandomness,
    /// A libtorch call of the probe itself failed.
    #[error(transparent)]
    Torch(#[from] kasmina_torch_ext::Error),
}

impl From<tch::TchError> for ProbeError {
    fn from(error: tch::TchError) -> Self {
        Self::Failed(error.into())
    }
}

/// Capabilities and state versions that blueprint and blend declare.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promises {
    /// The seed draws random numbers.
    pub(crate) stochastic: bool,
    /// The output of a fresh seed equals its input.
    pub(crate) identity_at_birth: bool,
    /// At alpha 1 the blend returns the seed's features.
    pub(crate) seed_at_one: bool,
    /// Version of the seed's state bytes.
    pub(crate) seed_state: u32,
    /// Version of the blend's state bytes.
    pub(crate) blend_state: u32,
}

impl Promises {
    pub(super) fn of(blueprint: &Entry, blend: &Entry) -> Self {
        Self {
            stochastic: blueprint.declares(Capability::Stochastic),
            identity_at_birth: blueprint.declares(Capability::IdentityAtBirth),
            seed_at_one: blend.declares(Capability::SeedAtOne),
            seed_state: blueprint.record().state_version,
            blend_state: blend.record().state_version,
        }
    }
}

/// Probes a seed and its blend; returns the multiply-adds of one forward of the seed, per sample.
///
/// Restores torch's generators and the buffers and clears the gradients in any case, and restores the state
/// bytes of seed and blend if they pass.
pub(crate) fn probe(
    seed: &mut SeedInstance,
    blend: &mut BlendInstance,
    features: &Features,
    promises: Promises,
) -> Result<u64, ProbeError> {
    // Before the lock on the generators: a capture takes both locks in this order.
    let _no_capture = features.device.is_cuda().then(graph::backward);
    let _fork = RngFork::seeded(PROBE_SEED)?;
    let variables = seed.variables()?;
    let all: Vec<Variable> = seed.variables()?.into_iter().chain(blend.variables()?).collect();
    let buffers = Buffers::of(&all);
    let (seed_state, blend_state) = (seed.state()?, blend.state()?);

    // A plugin may return an undefined tensor, for which even reading the shape can panic.
    let verdict = guard(|| Ok(examine(seed, blend, features, promises, &variables)))
        .result
        .unwrap_or_else(|error| Err(error.into()));

    norm::clear_gradients(all.iter().filter(|v| v.trainable).map(|v| &v.tensor))?;
    buffers.restore()?;
    let multiply_adds = verdict?;
    if !seed_state.is_empty() {
        seed.restore(&seed_state, promises.seed_state)?;
    }
    if !blend_state.is_empty() {
        blend.restore(&blend_state, promises.blend_state)?;
    }
    Ok(multiply_adds)
}

/// Checks seed and blend in both modes; returns the multiply-adds of one forward of the seed, per sample.
fn examine(
    seed: &mut SeedInstance,
    blend: &mut BlendInstance,
    features: &Features,
    promises: Promises,
    variables: &[Variable],
) -> Result<u64, ProbeError> {
    let x = random_features(features)?;
    let output = call_checked(&x, promises.stochastic, || seed.forward(&x, &TRAIN))?;
    let output = contract::cast_to_features(&x, output)?;
    contract::check_output(&x, &output, "it")?;
    check_finite(&output)?;
    check_gradient(&output, variables)?;
    let _ = call_checked(&x, false, || gate_and_mix(blend, &x, &output, &TRAIN))?;

    tch::no_grad(|| {
        let output = call_checked(&x, promises.stochastic, || seed.forward(&x, &EVAL))?;
        let output = contract::cast_to_features(&x, output)?;
        contract::check_output(&x, &output, "in eval mode it")?;
        check_finite(&output)?;
        if promises.identity_at_birth && !output.f_allclose(&x, 1e-4, 1e-5, false)? {
            let text = "it declares `identity_at_birth`, but its first output is not its input";
            return Err(PluginError::contract(text).into());
        }
        let mixed = call_checked(&x, false, || gate_and_mix(blend, &x, &output, &EVAL))?;
        if promises.seed_at_one {
            check_seed_at_one(blend, &x, &output)?;
        }
        let one = x.f_narrow(0, 0, 1)?;
        let counter = FlopCounter::start()?;
        let single = seed.forward(&one, &EVAL);
        let multiply_adds = counter.finish()?;
        let single = contract::cast_to_features(&one, single?)?;
        check_sample_independence(&mixed, &gate_and_mix(blend, &one, &single, &EVAL)?)?;
        Ok(multiply_adds)
    })
}

/// Checks `seed_at_one`: at alpha 1 the blend returns the seed's features, and it has no gate.
fn check_seed_at_one(blend: &mut BlendInstance, x: &Tensor, output: &Tensor) -> Result<(), ProbeError> {
    // A seed that is the identity at birth returns the host's features, so shift them to tell both apart.
    let other = output.f_add_scalar(1.0)?;
    let one = Tensor::f_ones([], (contract::alpha_kind(x.kind()), x.device()))?;
    let mixed = contract::cast_to_features(x, blend.mix(x, &other, &one, &EVAL)?)?;
    if blend.gate(x, &EVAL)?.is_some() || !contract::is_close(&other, &mixed)? {
        let text = "its blend declares `seed_at_one`, but at alpha 1 it does not return the seed's features";
        return Err(PluginError::contract(text).into());
    }
    Ok(())
}

/// Probes a blend that is to replace another, on random features like the slot's.
pub(crate) fn probe_blend(
    blend: &mut BlendInstance,
    features: &Features,
    (seed_at_one, state_version): (bool, u32),
) -> Result<(), ProbeError> {
    let _no_capture = features.device.is_cuda().then(graph::backward);
    let _fork = RngFork::seeded(PROBE_SEED)?;
    let variables = blend.variables()?;
    let buffers = Buffers::of(&variables);
    let state = blend.state()?;
    let verdict = guard(|| Ok(examine_blend(blend, features, seed_at_one)))
        .result
        .unwrap_or_else(|error| Err(error.into()));
    norm::clear_gradients(variables.iter().filter(|v| v.trainable).map(|v| &v.tensor))?;
    buffers.restore()?;
    verdict?;
    if !state.is_empty() {
        blend.restore(&state, state_version)?;
    }
    Ok(())
}

/// Checks a blend in both modes, with a backward in training mode.
fn examine_blend(
    blend: &mut BlendInstance,
    features: &Features,
    seed_at_one: bool,
) -> Result<(), ProbeError> {
    let (host, seed) = (random_features(features)?, random_features(features)?.set_requires_grad(true));
    let mixed = call_checked(&host, false, || gate_and_mix(blend, &host, &seed, &TRAIN))?;
    mixed.f_sum(Kind::Float)?.f_backward()?;
    tch::no_grad(|| {
        let mixed = call_checked(&host, false, || gate_and_mix(blend, &host, &seed, &EVAL))?;
        if seed_at_one {
            check_seed_at_one(blend, &host, &seed.detach())?;
        }
        let (one, other) = (host.f_narrow(0, 0, 1)?, seed.f_narrow(0, 0, 1)?);
        check_sample_independence(&mixed, &gate_and_mix(blend, &one, &other, &EVAL)?)
    })
}

/// Checks that the first sample of a batch has the same output as when it is alone.
///
/// The counterfactual pass stacks samples of several variants in one batch, so they must not mix.
fn check_sample_independence(together: &Tensor, alone: &Tensor) -> Result<(), ProbeError> {
    if contract::is_close(&together.f_narrow(0, 0, 1)?, alone)? {
        return Ok(());
    }
    let text = "in eval mode its output for a sample depends on the other samples of the batch";
    Err(PluginError::contract(text).into())
}

const TRAIN: Cx<'static> = Cx::new(Mode::Train, 0, "probe");
const EVAL: Cx<'static> = Cx::new(Mode::Eval, 0, "probe");

/// Runs a plugin call that must not write to its input `x` nor, unless `may_draw`, draw random numbers.
fn call_checked<T>(
    x: &Tensor,
    may_draw: bool,
    mut body: impl FnMut() -> kasmina_plugin_api::Result<T>,
) -> Result<T, ProbeError> {
    for _ in 0..ATTEMPTS {
        let (generators, version) = (RngState::save()?, autograd::version(x)?);
        let value = body()?;
        if autograd::version(x)? != version {
            return Err(PluginError::contract("it wrote to its input in place").into());
        }
        if may_draw || generators.same_as(&RngState::save()?) {
            return Ok(value);
        }
    }
    Err(ProbeError::UndeclaredRandomness)
}

/// Calls the blend's gate and mix at alpha 0.5 and checks both results.
fn gate_and_mix(
    blend: &mut BlendInstance,
    host: &Tensor,
    seed: &Tensor,
    cx: &Cx<'_>,
) -> kasmina_plugin_api::Result<Tensor> {
    let alpha = Tensor::f_full([], 0.5, (contract::alpha_kind(host.kind()), host.device()))?;
    let alpha = match blend.gate(host, cx)? {
        None => alpha,
        Some(gate) => {
            contract::check_gate(host, &gate)?;
            gate.f_mul(&alpha)?
        }
    };
    let mixed = contract::cast_to_features(host, blend.mix(host, seed, &alpha, cx)?)?;
    contract::check_output(host, &mixed, "the blend")?;
    if read_scalar(&mixed.detach().f_isfinite()?.f_all()?)? == 0.0 {
        return Err(PluginError::contract("the blend makes values that are not finite"));
    }
    Ok(mixed)
}

/// Returns random features like the slot's, `[PROBE_BATCH, ...shape]`.
fn random_features(features: &Features) -> Result<Tensor, ProbeError> {
    let shape: Vec<i64> = std::iter::once(PROBE_BATCH).chain(features.shape.iter().copied()).collect();
    let x = Tensor::f_randn(shape, (Kind::Float, features.device))?.f_to_kind(features.dtype)?;
    match features.layout {
        Layout::ChannelsLast => Ok(autograd::to_channels_last(&x)?),
        Layout::Contiguous => Ok(x),
    }
}

/// Refuses an output with NaN or infinite values.
fn check_finite(output: &Tensor) -> Result<(), ProbeError> {
    let all = output.detach().f_isfinite()?.f_all()?;
    if read_scalar(&all)? == 0.0 { Err(ProbeError::NonFinite) } else { Ok(()) }
}

/// Runs one backward; at least one parameter must receive a gradient that is not 0, unless there are none.
fn check_gradient(output: &Tensor, variables: &[Variable]) -> Result<(), ProbeError> {
    let parameters: Vec<&Tensor> = variables.iter().filter(|v| v.trainable).map(|v| &v.tensor).collect();
    if parameters.is_empty() {
        return Ok(());
    }
    let dead = ProbeError::Dead { parameters: parameters.len() };
    if !output.requires_grad() {
        return Err(dead);
    }
    // A random direction, because the plain sum of normalised outputs is constant.
    let direction = output.detach().f_randn_like()?;
    (output * direction).f_sum(Kind::Float)?.f_backward()?;
    let Some(gradient) = norm::grad_norm(parameters.iter().copied())? else { return Err(dead) };
    let value = read_scalar(&gradient)?;
    if !value.is_finite() {
        return Err(ProbeError::NonFinite);
    }
    if value == 0.0 { Err(dead) } else { Ok(()) }
}

/// Reads a 0-dim tensor. Waits for the device, which only training steps must not do.
fn read_scalar(scalar: &Tensor) -> kasmina_plugin_api::Result<f64> {
    Ok(scalar.f_to_kind(Kind::Double)?.f_double_value(&[])?)
}
