//! Chance: only where it is announced, and the same under the same seed.

use super::everywhere;
use crate::failure::{Failure, Outcome, broken};
use crate::judge::{leaning, same_bits};
use crate::place::Place;
use crate::subject::Subject;
use kasmina_plugin_api::{Capability, Kind, Mode};
use kasmina_torch_ext::rng::{RngFork, RngState};
use tch::Tensor;

pub(crate) fn deterministic(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let (first, again) = (a_life(subject, place)?, a_life(subject, place)?);
        for ((what, a), (_, b)) in first.iter().zip(&again) {
            same_bits(a, b, &format!("{what}, twice under one seed"))?;
        }
        if first.len() == again.len() {
            Ok(None)
        } else {
            broken("it gives gradients to other parameters each time")
        }
    })
}

/// Two training steps and a measurement under a seed: everything that can be seen of it.
fn a_life(subject: &Subject, place: &Place) -> Result<Vec<(String, Tensor)>, Failure> {
    let _fork = RngFork::seeded(subject.seed)?;
    let mut live = subject.make(place)?;
    let mut seen = Vec::new();
    for step in 0..2 {
        let output = live.run(&place.batch(3)?, Mode::Train)?;
        if output.requires_grad() {
            leaning(&output)?.f_backward()?;
        }
        seen.push((format!("the output of training step {step}"), output.detach()));
    }
    seen.push(("the output in eval mode".to_owned(), live.measure(&place.batch(3)?)?));
    for variable in live.variables()? {
        let gradient = variable.tensor.f_grad()?;
        if gradient.defined() {
            seen.push((format!("the gradient of `{}`", variable.name), gradient));
        }
        seen.push((format!("variable `{}`", variable.name), variable.tensor.f_detach_copy()?));
    }
    Ok(seen)
}

pub(crate) fn draws(subject: &Subject) -> Outcome {
    // A host's draws are the run's own; a blend's would be everybody's.
    let may_draw = match subject.entry.kind() {
        Kind::Host => true,
        Kind::Blend => false,
        Kind::Blueprint => subject.declares(Capability::Stochastic),
    };
    everywhere(subject, |place| {
        let mut live = subject.make(place)?;
        let x = place.batch(2)?;
        let mut drew = Vec::new();
        for mode in [Mode::Train, Mode::Eval] {
            let before = RngState::save()?;
            drop(live.run(&x, mode)?);
            if !before.same_as(&RngState::save()?) {
                drew.push(mode);
            }
        }
        if drew.contains(&Mode::Eval) {
            return broken("it draws random numbers in eval mode, where everything is measured");
        }
        match (drew.contains(&Mode::Train), may_draw) {
            (true, false) => {
                broken("it draws random numbers but does not declare the capability `stochastic`")
            }
            (false, true) if subject.declares(Capability::Stochastic) => {
                Ok(Some("it declares `stochastic` and drew nothing".to_owned()))
            }
            _ => Ok(None),
        }
    })
}
