//! Checks of determinism and of random numbers.

use super::everywhere;
use crate::failure::{Failure, Outcome, broken};
use crate::judge::{check_same_bits, random_projection};
use crate::place::Place;
use crate::subject::Subject;
use kasmina_plugin_api::{Capability, Kind, Mode};
use kasmina_torch_ext::rng::{RngFork, RngState};
use tch::Tensor;

pub(crate) fn deterministic(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let (first, again) = (observations(subject, place)?, observations(subject, place)?);
        for ((what, a), (_, b)) in first.iter().zip(&again) {
            check_same_bits(a, b, &format!("{what}, twice under one seed"))?;
        }
        if first.len() == again.len() {
            Ok(None)
        } else {
            broken("under one seed, different parameters get gradients")
        }
    })
}

/// Runs two training steps and a forward in eval mode under the seed of the check. Returns all outputs,
/// gradients and variables.
fn observations(subject: &Subject, place: &Place) -> Result<Vec<(String, Tensor)>, Failure> {
    let _fork = RngFork::seeded(subject.seed)?;
    let mut instance = subject.make(place)?;
    let mut seen = Vec::new();
    for step in 0..2 {
        let output = instance.run(&place.batch(3)?, Mode::Train)?;
        if output.requires_grad() {
            random_projection(&output)?.f_backward()?;
        }
        seen.push((format!("the output of training step {step}"), output.detach()));
    }
    seen.push(("the output in eval mode".to_owned(), instance.measure(&place.batch(3)?)?));
    for variable in instance.variables()? {
        let gradient = variable.tensor.f_grad()?;
        if gradient.defined() {
            seen.push((format!("the gradient of `{}`", variable.name), gradient));
        }
        seen.push((format!("variable `{}`", variable.name), variable.tensor.f_detach_copy()?));
    }
    Ok(seen)
}

pub(crate) fn randomness(subject: &Subject) -> Outcome {
    // The generators of torch are seeded for the host, so it may draw from them. A blend has no stream of its
    // own.
    let may_draw = match subject.entry.kind() {
        Kind::Host => true,
        Kind::Blend => false,
        Kind::Blueprint => subject.declares(Capability::Stochastic),
    };
    everywhere(subject, |place| {
        let mut instance = subject.make(place)?;
        let x = place.batch(2)?;
        let mut drew = Vec::new();
        for mode in [Mode::Train, Mode::Eval] {
            let before = RngState::save()?;
            drop(instance.run(&x, mode)?);
            if !before.same_as(&RngState::save()?) {
                drew.push(mode);
            }
        }
        if drew.contains(&Mode::Eval) {
            return broken("it draws random numbers in eval mode, in which measurements are made");
        }
        match (drew.contains(&Mode::Train), may_draw) {
            (true, false) => {
                broken("it draws random numbers but does not declare the capability `stochastic`")
            }
            (false, true) if subject.declares(Capability::Stochastic) => {
                Ok(Some("it declares `stochastic`, but drew no random numbers".to_owned()))
            }
            _ => Ok(None),
        }
    })
}
