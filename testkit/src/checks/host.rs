//! Checks of hosts only: their slots and taps.

use super::everywhere;
use crate::failure::{At, Failure, Outcome, broken};
use crate::instance::Instance;
use crate::subject::Subject;
use kasmina_plugin_api::abi::HostInstance;
use kasmina_plugin_api::{Mode, PluginError, Result as PluginResult, SlotSpec, TapHandler, Topology};
use std::collections::BTreeSet;
use tch::Tensor;

/// Message of the error that a failing tap returns.
const REFUSAL: &str = "this tap was told to fail";

/// Taps that record their calls and may act at one slot.
struct Ledger {
    /// Slot numbers and shapes of the features, in the order of the calls.
    visited: Vec<(usize, Vec<i64>)>,
    /// The slot to act at, and the action.
    at: Option<(usize, Act)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Act {
    /// The tap returns other features.
    Replace,
    /// The tap returns an error.
    Fail,
}

impl Ledger {
    fn new(at: Option<(usize, Act)>) -> Self {
        Self { visited: Vec::new(), at }
    }
}

impl TapHandler for Ledger {
    fn at(&mut self, slot: usize, x: Tensor) -> PluginResult<Tensor> {
        self.visited.push((slot, x.size()));
        let x = match self.at.filter(|(number, _)| *number == slot) {
            Some((_, Act::Fail)) => return Err(PluginError::other(REFUSAL)),
            Some((_, Act::Replace)) => x.f_mul_scalar(-1.5)?.f_add_scalar(0.5)?,
            None => x,
        };
        Ok(x)
    }
}

pub(crate) fn taps(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let Instance::Host(mut host) = subject.make(place)? else { return Ok(None) };
        let slots = host.slots().to_vec();
        check_names(&slots)?;
        let x = place.batch(2)?;
        let mut plain = None;
        for mode in [Mode::Train, Mode::Eval] {
            let mut ledger = Ledger::new(None);
            let output = host.forward(&x, mode, &mut ledger)?;
            check_visits(&slots, &ledger).at(format!("{mode:?}"))?;
            plain = Some(output);
        }
        let Some(plain) = plain else { return Ok(None) };
        for (number, slot) in slots.iter().enumerate() {
            check_tap_results(&mut host, &x, &plain, number).at(format!("slot `{}`", slot.name))?;
        }
        Ok(slots.is_empty().then(|| "it has no slots".to_owned()))
    })
}

fn check_names(slots: &[SlotSpec]) -> Result<(), Failure> {
    let mut names = BTreeSet::new();
    for slot in slots {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if slot.name.is_empty() || !slot.name.chars().all(plain) {
            return broken(format!("slot `{}` has a name that is not made of a-z, 0-9, _ and -", slot.name));
        }
        if !names.insert(&slot.name) {
            return broken(format!("two slots are named `{}`", slot.name));
        }
        if slot.channels < 1 {
            return broken(format!("slot `{}` has {} channels", slot.name, slot.channels));
        }
    }
    // A slot may have several aliases, but an alias must not refer to several slots.
    for slot in slots {
        for alias in &slot.aliases {
            let others = slots.iter().filter(|s| s.answers_to(alias)).count();
            if others != 1 {
                return broken(format!("{others} slots answer to `{alias}`"));
            }
        }
    }
    Ok(())
}

fn check_visits(slots: &[SlotSpec], ledger: &Ledger) -> Result<(), Failure> {
    let visited: Vec<usize> = ledger.visited.iter().map(|(slot, _)| *slot).collect();
    let want: Vec<usize> = (0..slots.len()).collect();
    if visited != want {
        let name = |i: &usize| {
            slots.get(*i).map_or_else(|| format!("number {i}, which does not exist"), |s| s.name.clone())
        };
        let list = |all: &[usize]| all.iter().map(name).collect::<Vec<_>>().join(", ");
        return broken(format!("it visits the slots [{}], expected [{}]", list(&visited), list(&want)));
    }
    for (slot, (_, shape)) in slots.iter().zip(&ledger.visited) {
        let (rank, channel) = match slot.topology {
            Topology::CNN => (4, 1),
            Topology::TRANSFORMER => (3, 2),
            _ => continue,
        };
        if shape.len() != rank || shape.get(channel) != Some(&slot.channels) {
            let (name, channels) = (&slot.name, slot.channels);
            return broken(format!(
                "at slot `{name}` it has features {shape:?}, expected {channels} channels of topology {}",
                slot.topology
            ));
        }
    }
    Ok(())
}

/// Fails if the host ignores the features that a tap returns, or an error of the tap.
fn check_tap_results(
    host: &mut HostInstance,
    x: &Tensor,
    plain: &Tensor,
    slot: usize,
) -> Result<(), Failure> {
    let _no_grad = tch::no_grad_guard();
    let replaced = host.forward(x, Mode::Eval, &mut Ledger::new(Some((slot, Act::Replace))))?;
    if replaced.f_equal(plain)? {
        return broken(
            "the tap returns other features, but the output is the same: the host does not use them",
        );
    }
    match host.forward(x, Mode::Eval, &mut Ledger::new(Some((slot, Act::Fail)))) {
        Ok(_) => broken("the tap fails, but the host ignores the error: return it"),
        Err(error) if error.to_string().contains(REFUSAL) => Ok(()),
        Err(error) => {
            broken(format!("the tap fails with `{REFUSAL}`, but the host returns another error: {error}"))
        }
    }
}
