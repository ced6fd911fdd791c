//! Running seed and blend on the features at a slot.

use super::contract;
use super::failure::torch;
use super::fault::{Fault, Part};
use super::live_seed::LiveSeed;
use super::mixture::Mixture;
use super::pulse::Pulse;
use super::slot::SeedSlot;
use crate::lifecycle::Stage;
use kasmina_plugin_api::guard::guard;
use kasmina_plugin_api::{Context, Cx, Mode, PluginError, Result, TapHandler};
use kasmina_torch_ext::autograd;
use std::time::{Duration, Instant};
use tch::{Kind, Tensor};

/// Settings of one forward through the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) mode: Mode,
    pub(crate) step: u64,
    /// Whether seed outputs are checked for non-finite values in this pass.
    pub(crate) watch: bool,
    pub(crate) overrides: &'a [AlphaOverride],
    /// Slot whose seed output and gate are detached, for the shadow pass of an isolation check.
    pub(crate) detached: Option<usize>,
    /// Whether the host continues with its own features where a blend has failed.
    pub(crate) outlasts_failed_blends: bool,
}

impl Pass<'_> {
    /// Returns a pass without checks and overrides, which ends at the first failed call.
    pub(crate) fn new(mode: Mode, step: u64) -> Self {
        Self { mode, step, watch: false, overrides: &[], detached: None, outlasts_failed_blends: false }
    }
}

/// An alpha per sample that replaces a slot's own alpha in one forward.
#[derive(Debug)]
pub(crate) struct AlphaOverride {
    /// Index of the slot in the model.
    pub(crate) slot: usize,
    /// `[batch, 1, ..., 1]`, with as many dimensions as the features.
    pub(crate) alpha: Tensor,
}

/// Runs the slots of a model during one forward of its host, and checks that the host visits each slot once,
/// in order.
pub(crate) struct SlotTapHandler<'m, 'p> {
    slots: &'m mut [SeedSlot],
    /// For each of the host's taps, the index of the requested slot; `None` if the slot was not requested.
    taps: &'m [Option<usize>],
    pass: Pass<'p>,
    /// Index of the tap that the host must visit next.
    next: usize,
    /// The first error, kept because a host may ignore the error that a tap returned.
    error: Option<PluginError>,
    /// The first failed call of a seed or blend, with the index of its slot.
    fault: Option<(usize, Fault)>,
}

impl<'m, 'p> SlotTapHandler<'m, 'p> {
    pub(crate) fn new(slots: &'m mut [SeedSlot], taps: &'m [Option<usize>], pass: Pass<'p>) -> Self {
        Self { slots, taps, pass, next: 0, error: None, fault: None }
    }

    /// Returns the result of the forward, given the host's output, and the failed call of a seed or blend.
    ///
    /// An error at a tap is the forward's error even if the host returned an output.
    pub(crate) fn finish(self, output: Result<Tensor>) -> (Result<Tensor>, Option<(usize, Fault)>) {
        let check_visits = |output: Result<Tensor>| {
            let output = output?;
            if self.next != self.taps.len() {
                let text = format!("the host visited {} of its {} slots", self.next, self.taps.len());
                return Err(PluginError::contract(text));
            }
            Ok(output)
        };
        match self.error {
            Some(error) => (Err(error), self.fault),
            None => (check_visits(output), self.fault),
        }
    }

    fn pass_through(&mut self, index: usize, x: Tensor) -> Result<Tensor> {
        if index != self.next {
            return Err(PluginError::contract(format!(
                "the host visited slot {index} instead of slot {}; it must visit each slot once, in order",
                self.next
            )));
        }
        self.next += 1;
        match self.taps[index] {
            None => Ok(x),
            Some(slot) => {
                let Self { slots, pass, fault, .. } = self;
                slots[slot].forward(slot, x, pass, fault)
            }
        }
    }
}

impl TapHandler for SlotTapHandler<'_, '_> {
    fn at(&mut self, slot: usize, x: Tensor) -> Result<Tensor> {
        if slot >= self.taps.len() {
            let text = format!("the host visited slot {slot}; it has {} slots", self.taps.len());
            return Err(self.error.get_or_insert(PluginError::contract(text)).clone());
        }
        // The guard turns a panic here into an error too, so that the host cannot hide it.
        guard(|| self.pass_through(slot, x)).result.inspect_err(|error| {
            self.error.get_or_insert_with(|| error.clone());
        })
    }
}

impl SeedSlot {
    /// Returns the features that the host continues with. In an inactive stage that is the same tensor, and
    /// nothing runs.
    ///
    /// At alpha 0 the value equals the host's bit for bit, in every active stage. The gradient reaches host
    /// and seed, and unless isolation is `never` it does not flow through the seed to the host. In eval mode,
    /// or when a prune is scheduled, a seed at alpha 0 does not run.
    ///
    /// # Shapes
    /// `host` and the result: `[batch, ...]`, the shape of the slot's features.
    fn forward(
        &mut self,
        index: usize,
        host: Tensor,
        pass: &Pass<'_>,
        fault: &mut Option<(usize, Fault)>,
    ) -> Result<Tensor> {
        let stage = self.lifecycle.stage();
        let (isolated, leaving) = (self.is_isolated_as_mixed(), self.lifecycle.is_leaving());
        let Some(live) = self.live.as_mut().filter(|_| stage.is_active()) else { return Ok(host) };
        let override_alpha = pass.overrides.iter().find(|o| o.slot == index).map(|o| &o.alpha);
        let silent = override_alpha.is_none() && live.is_silent();
        // A seed with a scheduled prune is frozen, so it need not run for its gradient.
        if silent && (pass.mode == Mode::Eval || leaving) {
            return Ok(host);
        }

        let name = self.spec.name.as_str();
        let _span = tracing::info_span!("seed", slot = name, entry = live.seed.entry.id()).entered();
        let cx = Cx::new(pass.mode, pass.step, name);
        let input = if isolated { host.detach() } else { host.shallow_clone() };
        let version = autograd::version(&host).map_err(torch)?;
        let blueprint = &live.seed.entry;
        let doing = || format!("slot `{name}`, seed of `{}` in {stage}", blueprint.full_name());
        let outside = self.pulse.enter(Pulse::code(index, false));
        let seed = run(&mut live.seed.instance, &mut live.seed.stream, &input, &cx);
        self.pulse.enter(outside);
        let seed = record_fault(fault, (index, Part::Seed), seed).with_context(doing)?;
        if autograd::version(&host).map_err(torch)? != version {
            return Err(PluginError::contract("it wrote to its input in place")).with_context(doing);
        }
        let seed = contract::cast_to_features(&host, seed)?;
        contract::check_output(&host, &seed, "it").with_context(doing)?;
        if pass.watch {
            self.monitor.watch(&seed).with_context(doing)?;
            if stage == Stage::Shadowing {
                self.monitor.compare(&seed, &host).with_context(doing)?;
            }
        }
        let detached = pass.detached == Some(index);
        let seed = if detached { seed.detach() } else { seed };

        if silent {
            return autograd::straight_through(&host, &seed).map_err(torch).with_context(doing);
        }
        // Behind an isolated seed the host gets its gradient, which may be 0, only through the blend.
        if override_alpha.is_none() && live.is_seed_only() && !isolated {
            return Ok(seed);
        }
        let started = live.trial.is_some().then(Instant::now);
        let outside = self.pulse.enter(Pulse::code(index, true));
        let mixture = Mixture { host: &host, seed: &seed, input: &input, detached };
        let blended = blend(live, &mixture, override_alpha, &cx);
        self.pulse.enter(outside);
        let blended = blended.and_then(|out| {
            if let (Some(trial), Some(started)) = (&live.trial, started) {
                check_trial_call(&out, started.elapsed(), trial.budget)?;
            }
            if autograd::version(&host).map_err(torch)? == version {
                return Ok(out);
            }
            Err(PluginError::contract("it wrote to the host's features in place"))
        });
        let blended = record_fault(fault, (index, Part::Blend), blended);
        if pass.outlasts_failed_blends && blended.is_err() {
            return Ok(host);
        }
        blended.with_context(|| format!("slot `{name}`, blend `{}` in {stage}", live.blend.entry.full_name()))
    }
}

/// Records the first failed call of a seed or blend, for [`MorphogeneticModel::recover`].
///
/// [`MorphogeneticModel::recover`]: crate::MorphogeneticModel::recover
fn record_fault<T>(
    fault: &mut Option<(usize, Fault)>,
    (slot, part): (usize, Part),
    result: Result<T>,
) -> Result<T> {
    result.inspect_err(|error| {
        fault.get_or_insert_with(|| (slot, Fault { part, error: error.clone() }));
    })
}

/// Refuses a call of a blend on trial that took too long or returned non-finite values.
///
/// Waits for the device, which is acceptable in the few steps of a trial; these are never captured.
fn check_trial_call(mixed: &Tensor, took: Duration, budget: Duration) -> Result<()> {
    if took > budget {
        let text = format!("a call took {:.1} ms; the limit is {:.1} ms", millis(took), millis(budget));
        return Err(PluginError::contract(text));
    }
    let finite = mixed.detach().f_isfinite()?.f_all()?.f_to_kind(Kind::Double)?.f_double_value(&[])?;
    if finite == 0.0 {
        return Err(PluginError::contract("it makes values that are not finite"));
    }
    Ok(())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Calls a seed's forward, on its own stream of random numbers if it has one.
fn run(
    seed: &mut kasmina_plugin_api::abi::SeedInstance,
    stream: &mut Option<kasmina_torch_ext::rng::RngStream>,
    input: &Tensor,
    cx: &Cx<'_>,
) -> Result<Tensor> {
    match stream {
        None => seed.forward(input, cx),
        Some(stream) => stream.run(|| seed.forward(input, cx)).map_err(torch)?,
    }
}

/// Mixes with the slot's blend, at the slot's alpha or at an alpha per sample that replaces it.
fn blend(
    live: &mut LiveSeed,
    mixture: &Mixture<'_>,
    override_alpha: Option<&Tensor>,
    cx: &Cx<'_>,
) -> Result<Tensor> {
    let mixed = mixture.mix(&mut live.blend.instance, override_alpha.unwrap_or(live.alpha.tensor()), cx)?;
    match override_alpha {
        // 0 x NaN is NaN, so samples with alpha 0 take the host's features instead of the mixture.
        Some(chosen) => Ok(mixture.host.f_where_self(&chosen.f_eq(0.0)?, &mixed)?),
        None => Ok(mixed),
    }
}
