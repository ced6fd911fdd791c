//! What happens to features at a slot.

use super::contract;
use super::failure::torch;
use super::fault::{Fault, Part};
use super::live_seed::LiveSeed;
use super::pulse::Pulse;
use super::slot::SeedSlot;
use crate::lifecycle::Stage;
use kasmina_plugin_api::guard::guard;
use kasmina_plugin_api::{Context, Cx, Mode, PluginError, Result, TapHandler};
use kasmina_torch_ext::autograd;
use std::time::{Duration, Instant};
use tch::{Kind, Tensor};

/// One forward through the host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) mode: Mode,
    pub(crate) step: u64,
    /// Whether seed outputs are looked at for non-finite values in this pass.
    pub(crate) watch: bool,
    pub(crate) overrides: &'a [AlphaOverride],
    /// A slot whose seed gives its values but takes no gradient: the shadow of an isolation check.
    pub(crate) severed: Option<usize>,
}

/// An alpha per sample for one slot, instead of its own. Mutates nothing.
#[derive(Debug)]
pub(crate) struct AlphaOverride {
    /// Position of the slot among the model's.
    pub(crate) slot: usize,
    /// `[N, 1, ..]`.
    pub(crate) alpha: Tensor,
}

/// The slots of a model, lent to its host for one forward. Keeps a ledger: each slot once, in order.
pub(crate) struct Grafting<'m, 'p> {
    slots: &'m mut [SeedSlot],
    /// For each of the host's taps, which slot was asked for there.
    taps: &'m [Option<usize>],
    pass: Pass<'p>,
    next: usize,
    /// The first error; an author may swallow what a tap answers.
    error: Option<PluginError>,
    /// The call that it came from, if it was a seed's or a blend's.
    fault: Option<(usize, Fault)>,
}

impl<'m, 'p> Grafting<'m, 'p> {
    pub(crate) fn new(slots: &'m mut [SeedSlot], taps: &'m [Option<usize>], pass: Pass<'p>) -> Self {
        Self { slots, taps, pass, next: 0, error: None, fault: None }
    }

    /// What the forward amounts to, once the host has returned, and whose call ended it.
    pub(crate) fn finish(self, output: Result<Tensor>) -> (Result<Tensor>, Option<(usize, Fault)>) {
        let whole = |output: Result<Tensor>| {
            let output = output?;
            if self.next != self.taps.len() {
                let text = format!("the host visited {} of its {} slots", self.next, self.taps.len());
                return Err(PluginError::contract(text));
            }
            Ok(output)
        };
        match self.error {
            Some(error) => (Err(error), self.fault),
            None => (whole(output), None),
        }
    }

    fn pass_through(&mut self, index: usize, x: Tensor) -> Result<Tensor> {
        if index != self.next {
            return Err(PluginError::contract(format!(
                "the host visited slot {index} where slot {} was due; each is visited once, in order",
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

impl TapHandler for Grafting<'_, '_> {
    fn at(&mut self, slot: usize, x: Tensor) -> Result<Tensor> {
        if slot >= self.taps.len() {
            let text = format!("the host visited slot {slot}; it has {}", self.taps.len());
            return Err(self.error.get_or_insert(PluginError::contract(text)).clone());
        }
        // A panic of ours must be in the ledger too: the host may swallow what it is told.
        guard(|| self.pass_through(slot, x)).result.inspect_err(|error| {
            self.error.get_or_insert_with(|| error.clone());
        })
    }
}

impl SeedSlot {
    /// The features that flow on. In a stage that is not active: the same tensor, nothing called, nothing
    /// run.
    ///
    /// At alpha 0 the value is the host's, bit for bit, and the gradient flows to host and seed alike (the
    /// first epoch of BLENDING included), but not through the seed. When nothing is being learned, a seed at
    /// alpha 0 is not even run.
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
        // A seed on its way out learns nothing any more.
        if silent && (pass.mode == Mode::Eval || leaving) {
            return Ok(host);
        }

        let name = self.spec.name.as_str();
        let _span = tracing::info_span!("seed", slot = name, entry = live.seed.entry.id()).entered();
        let cx = Cx::new(pass.mode, pass.step, name);
        let input = if isolated { host.detach() } else { host.shallow_clone() };
        let written = autograd::version(&host).map_err(torch)?;
        let blueprint = &live.seed.entry;
        let doing = || format!("slot `{name}`, seed of `{}` in {stage}", blueprint.full_name());
        let outside = self.pulse.enter(Pulse::code(index, false));
        let seed = run(&mut live.seed.instance, &mut live.seed.stream, &input, &cx);
        self.pulse.enter(outside);
        let seed = noted(fault, (index, Part::Seed), seed).with_context(doing)?;
        if autograd::version(&host).map_err(torch)? != written {
            return Err(PluginError::contract("it wrote to its input in place")).with_context(doing);
        }
        let seed = contract::narrowed(&host, seed)?;
        contract::like(&host, &seed, "it").with_context(doing)?;
        if pass.watch {
            self.monitor.watch(&seed).with_context(doing)?;
            if stage == Stage::Shadowing {
                self.monitor.compare(&seed, &host).with_context(doing)?;
            }
        }
        let severed = pass.severed == Some(index);
        let seed = if severed { seed.detach() } else { seed };

        if silent {
            return autograd::straight_through(&host, &seed).map_err(torch).with_context(doing);
        }
        // Behind an isolated seed the blend is the host's only way to a gradient, be it 0.
        if override_alpha.is_none() && live.is_seed_only() && !isolated {
            return Ok(seed);
        }
        let begun = live.trial.is_some().then(Instant::now);
        let outside = self.pulse.enter(Pulse::code(index, true));
        let blended = blend(live, &host, &seed, &input, (override_alpha, severed), &cx);
        self.pulse.enter(outside);
        let blended = blended.and_then(|out| {
            if let (Some(trial), Some(begun)) = (&live.trial, begun) {
                held(&out, begun.elapsed(), trial.budget)?;
            }
            if autograd::version(&host).map_err(torch)? == written {
                return Ok(out);
            }
            Err(PluginError::contract("it wrote to the host's features in place"))
        });
        let blended = noted(fault, (index, Part::Blend), blended);
        blended.with_context(|| format!("slot `{name}`, blend `{}` in {stage}", live.blend.entry.full_name()))
    }
}

/// Remembers whose call failed: who drives the model may know what to do about it.
fn noted<T>(fault: &mut Option<(usize, Fault)>, (slot, part): (usize, Part), result: Result<T>) -> Result<T> {
    result.inspect_err(|error| {
        fault.get_or_insert_with(|| (slot, Fault { part, error: error.clone() }));
    })
}

/// What a blend on trial is asked beyond its contract. Waits for the device: a trial is short, and its steps
/// are not recorded.
fn held(mixed: &Tensor, took: Duration, budget: Duration) -> Result<()> {
    if took > budget {
        let text = format!("a call took {:.1} ms, it may take {:.1}", millis(took), millis(budget));
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

/// A stochastic seed runs on its own stream of random numbers.
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

fn blend(
    live: &mut LiveSeed,
    host: &Tensor,
    seed: &Tensor,
    input: &Tensor,
    (override_alpha, severed): (Option<&Tensor>, bool),
    cx: &Cx<'_>,
) -> Result<Tensor> {
    let amplitude = override_alpha.unwrap_or(live.alpha.tensor());
    let gate = live.blend.instance.gate(input, cx)?;
    let gated = match &gate {
        None => None,
        Some(gate) => {
            contract::per_sample(host, gate)?;
            let gate = if severed { gate.detach() } else { gate.shallow_clone() };
            // A product of half precision would round alpha too.
            let gate = gate.f_to_kind(amplitude.kind())?;
            Some((gate.f_clamp(0.0, 1.0)? * amplitude).f_clamp(0.0, 1.0)?)
        }
    };
    let alpha = gated.as_ref().unwrap_or(amplitude);
    let mixed = contract::narrowed(host, live.blend.instance.mix(host, seed, alpha, cx)?)?;
    contract::like(host, &mixed, "it")?;
    match override_alpha {
        // Alpha times NaN is NaN also at alpha 0: samples that are switched off take the host's own features.
        Some(chosen) => Ok(host.f_where_self(&chosen.f_eq(0.0)?, &mixed)?),
        None => Ok(mixed),
    }
}
