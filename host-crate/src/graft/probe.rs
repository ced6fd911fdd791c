//! The probe that a seed must pass before it may live: forward and backward on the slot's real feature shape.

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

const PROBE_SEED: u64 = 0x6b61_736d_696e_6101;
const PROBE_BATCH: i64 = 2;
/// The generators belong to the process, and a host on another thread may draw from them just now (dropout).
/// Who draws by himself does so each time.
const ATTEMPTS: u32 = 4;

/// Why a seed may not live here.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// A call failed, or broke a promise.
    #[error(transparent)]
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
    /// A libtorch call of the probe itself failed.
    #[error(transparent)]
    Torch(#[from] kasmina_torch_ext::Error),
}

impl From<tch::TchError> for ProbeError {
    fn from(error: tch::TchError) -> Self {
        Self::Failed(error.into())
    }
}

/// What the entries promise of themselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promises {
    /// The seed draws random numbers.
    pub(crate) stochastic: bool,
    /// A fresh seed's output is its input.
    pub(crate) identity_at_birth: bool,
    /// The blend's mixture at alpha 1 is the seed's features.
    pub(crate) seed_at_one: bool,
    /// The version of the seed's state bytes.
    pub(crate) seed_state: u32,
    /// The version of the blend's state bytes.
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

/// Probes a seed and its blend. Generators, running statistics, gradients and the instances' own state are as
/// before when it returns, whatever it returns: the multiply-adds of the seed's forward, per sample.
pub(crate) fn probe(
    seed: &mut SeedInstance,
    blend: &mut BlendInstance,
    features: &Features,
    promises: Promises,
) -> Result<u64, ProbeError> {
    // Before the generators: whoever captures takes both in this order.
    let _no_capture = features.device.is_cuda().then(graph::backward);
    let _fork = RngFork::seeded(PROBE_SEED)?;
    let variables = seed.variables()?;
    let all: Vec<Variable> = seed.variables()?.into_iter().chain(blend.variables()?).collect();
    let buffers = Buffers::of(&all);
    let (seed_state, blend_state) = (seed.state()?, blend.state()?);

    // What an author returns may be a tensor that even a question about its shape panics on.
    let verdict = guard(|| Ok(examine(seed, blend, features, promises, &variables)))
        .result
        .unwrap_or_else(|error| Err(error.into()));

    norm::clear_gradients(all.iter().filter(|v| v.trainable).map(|v| &v.tensor))?;
    buffers.put_back()?;
    let multiply_adds = verdict?;
    if !seed_state.is_empty() {
        seed.restore(&seed_state, promises.seed_state)?;
    }
    if !blend_state.is_empty() {
        blend.restore(&blend_state, promises.blend_state)?;
    }
    Ok(multiply_adds)
}

fn examine(
    seed: &mut SeedInstance,
    blend: &mut BlendInstance,
    features: &Features,
    promises: Promises,
    variables: &[Variable],
) -> Result<u64, ProbeError> {
    let x = sample(features)?;
    let output = untouched(&x, promises.stochastic, || seed.forward(&x, &TRAIN))?;
    let output = contract::narrowed(&x, output)?;
    contract::like(&x, &output, "it")?;
    finite(&output)?;
    live(&output, variables)?;
    let _ = untouched(&x, false, || blended(blend, &x, &output, &TRAIN))?;

    tch::no_grad(|| {
        let output = untouched(&x, promises.stochastic, || seed.forward(&x, &EVAL))?;
        let output = contract::narrowed(&x, output)?;
        contract::like(&x, &output, "in eval mode it")?;
        finite(&output)?;
        if promises.identity_at_birth && !output.f_allclose(&x, 1e-4, 1e-5, false)? {
            let text = "it declares `identity_at_birth`, but its first output is not its input";
            return Err(PluginError::contract(text).into());
        }
        let mixed = untouched(&x, false, || blended(blend, &x, &output, &EVAL))?;
        if promises.seed_at_one {
            whole_at_one(blend, &x, &output)?;
        }
        let one = x.f_narrow(0, 0, 1)?;
        let counter = FlopCounter::start()?;
        let single = seed.forward(&one, &EVAL);
        let multiply_adds = counter.finish()?;
        let single = contract::narrowed(&one, single?)?;
        alone(&mixed, &blended(blend, &one, &single, &EVAL)?)?;
        Ok(multiply_adds)
    })
}

/// At alpha 1 a blend that says so gives the seed's features.
fn whole_at_one(blend: &mut BlendInstance, x: &Tensor, output: &Tensor) -> Result<(), ProbeError> {
    // Other features than the host's, which a seed that is the identity at birth has not.
    let other = output.f_add_scalar(1.0)?;
    let one = Tensor::f_ones([], (contract::alpha_kind(x.kind()), x.device()))?;
    let whole = contract::narrowed(x, blend.mix(x, &other, &one, &EVAL)?)?;
    if blend.gate(x, &EVAL)?.is_some() || !contract::alike(&other, &whole)? {
        let text = "its blend declares `seed_at_one`, but at alpha 1 it does not give the seed's features";
        return Err(PluginError::contract(text).into());
    }
    Ok(())
}

/// Probes a blend that is to take another's place: on the slot's features and others like them.
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
    buffers.put_back()?;
    verdict?;
    if !state.is_empty() {
        blend.restore(&state, state_version)?;
    }
    Ok(())
}

fn examine_blend(
    blend: &mut BlendInstance,
    features: &Features,
    seed_at_one: bool,
) -> Result<(), ProbeError> {
    let (host, seed) = (sample(features)?, sample(features)?.set_requires_grad(true));
    let mixed = untouched(&host, false, || blended(blend, &host, &seed, &TRAIN))?;
    mixed.f_sum(Kind::Float)?.f_backward()?;
    tch::no_grad(|| {
        let mixed = untouched(&host, false, || blended(blend, &host, &seed, &EVAL))?;
        if seed_at_one {
            whole_at_one(blend, &host, &seed.detach())?;
        }
        let (one, other) = (host.f_narrow(0, 0, 1)?, seed.f_narrow(0, 0, 1)?);
        alone(&mixed, &blended(blend, &one, &other, &EVAL)?)
    })
}

/// The batched counterfactual stacks samples; a seed or a gate that mixes them would falsify it.
fn alone(together: &Tensor, alone: &Tensor) -> Result<(), ProbeError> {
    if contract::alike(&together.f_narrow(0, 0, 1)?, alone)? {
        return Ok(());
    }
    let text = "in eval mode it gives a sample another output when it is alone in its batch";
    Err(PluginError::contract(text).into())
}

const TRAIN: Cx<'static> = Cx::new(Mode::Train, 0, "probe");
const EVAL: Cx<'static> = Cx::new(Mode::Eval, 0, "probe");

/// Runs author code that may neither write to its input nor, unless it says so, draw random numbers.
fn untouched<T>(
    x: &Tensor,
    may_draw: bool,
    mut body: impl FnMut() -> kasmina_plugin_api::Result<T>,
) -> Result<T, ProbeError> {
    for _ in 0..ATTEMPTS {
        let (generators, written) = (RngState::save()?, autograd::version(x)?);
        let value = body()?;
        if autograd::version(x)? != written {
            return Err(PluginError::contract("it wrote to its input in place").into());
        }
        if may_draw || generators.same_as(&RngState::save()?) {
            return Ok(value);
        }
    }
    Err(ProbeError::UndeclaredRandomness)
}

/// Gate and mix at alpha 0.5, checked.
fn blended(
    blend: &mut BlendInstance,
    host: &Tensor,
    seed: &Tensor,
    cx: &Cx<'_>,
) -> kasmina_plugin_api::Result<Tensor> {
    let alpha = Tensor::f_full([], 0.5, (contract::alpha_kind(host.kind()), host.device()))?;
    let alpha = match blend.gate(host, cx)? {
        None => alpha,
        Some(gate) => {
            contract::per_sample(host, &gate)?;
            gate.f_mul(&alpha)?
        }
    };
    let mixed = contract::narrowed(host, blend.mix(host, seed, &alpha, cx)?)?;
    contract::like(host, &mixed, "the blend")?;
    if read(&mixed.detach().f_isfinite()?.f_all()?)? == 0.0 {
        return Err(PluginError::contract("the blend makes values that are not finite"));
    }
    Ok(mixed)
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
    let Some(gradient) = norm::grad_norm(parameters.iter().copied())? else { return Err(dead) };
    let value = read(&gradient)?;
    if !value.is_finite() {
        return Err(ProbeError::NonFinite);
    }
    if value == 0.0 { Err(dead) } else { Ok(()) }
}

/// Reads one number; probing is no step, waiting is allowed here.
fn read(scalar: &Tensor) -> kasmina_plugin_api::Result<f64> {
    Ok(scalar.f_to_kind(Kind::Double)?.f_double_value(&[])?)
}
