//! Check of a host's cache: reading a sequence in parts gives what reading it at once gives.

use super::everywhere;
use super::samples::perturb;
use crate::failure::{At, Failure, Outcome, broken};
use crate::instance::Instance;
use crate::judge::check_close;
use crate::subject::Subject;
use kasmina_plugin_api::abi::HostInstance;
use kasmina_plugin_api::{Mode, Result as PluginResult, TapHandler};
use tch::Tensor;

/// Taps that change nothing, and keep how many positions each slot has received.
#[derive(Default)]
struct Positions(Vec<i64>);

impl TapHandler for Positions {
    fn at(&mut self, _: usize, x: Tensor) -> PluginResult<Tensor> {
        self.0.push(x.size().get(1).copied().unwrap_or(0));
        Ok(x)
    }
}

pub(crate) fn cached(subject: &Subject) -> Outcome {
    let mut caches = 0;
    everywhere(subject, |place| {
        if !place.input.tokens {
            return Ok(None);
        }
        let instance = subject.make(place)?;
        perturb(&instance)?;
        let Instance::Host(mut host) = instance else { return Ok(None) };
        let _no_grad = tch::no_grad_guard();
        // The second batch has another number of sequences, and must not see the first one's tokens.
        for samples in [3, 2] {
            let x = place.batch(samples)?;
            if !reads_in_parts(&mut host, &x).at(format!("{samples} sequences"))? {
                return Ok(None);
            }
        }
        caches += 1;
        Ok(None)
    })?;
    if caches == 0 {
        return Err(Failure::NotApplicable("it has no cache of tokens".to_owned()));
    }
    Ok(None)
}

/// Reads sequences in parts of several lengths. Returns whether the host has a cache.
fn reads_in_parts(host: &mut HostInstance, x: &Tensor) -> Result<bool, Failure> {
    let (length, slots) = (x.size()[1], host.slots().len());
    let whole = host.forward(x, Mode::Eval, &mut Positions::default())?;
    let half = (length / 2).max(1);
    let mut read = 0;
    for new in [half, 1, length - half - 1] {
        if new < 1 {
            continue;
        }
        let part = x.f_narrow(1, read, new)?;
        let mut positions = Positions::default();
        let Some(found) = host.forward_cached(&part, read, &mut positions)? else { return Ok(false) };
        read += new;
        if positions.0 != vec![new; slots] {
            return broken(format!(
                "its slots receive {:?} positions for {new} new tokens; each of its {slots} slots must receive the new ones",
                positions.0
            ));
        }
        let wanted = whole.f_select(1, read - 1)?;
        if found.size() != wanted.size() {
            return broken(format!("it returns shape {:?}, expected {:?}", found.size(), wanted.size()));
        }
        check_close(&wanted, &found, &format!("the first {read} tokens at once and in parts"))?;
    }
    let next = x.f_narrow(1, 0, 1)?;
    if host.forward_cached(&next, length + 3, &mut Positions::default()).is_ok() {
        return broken(format!("it keeps {length} tokens, but accepts a call that continues {}", length + 3));
    }
    Ok(true)
}
