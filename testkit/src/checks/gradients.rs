//! Checks that gradients reach all inputs and parameters and are finite.

use super::everywhere;
use crate::failure::{At, Failure, Outcome, broken};
use crate::instance::{Instance, mixed, seed_features};
use crate::judge::{check_finite, random_projection, value_of};
use crate::place::Place;
use crate::subject::Subject;
use kasmina_plugin_api::Mode;
use kasmina_torch_ext::norm::clear_gradients;
use tch::Tensor;

/// Number of training steps. A gain of 0 blocks the gradients of the parameters behind it in the first step,
/// and a gate behind such a gain in the first two.
const STEPS: usize = 3;
const RATE: f64 = 0.1;

pub(crate) fn reach_everything(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let mut instance = subject.make(place)?;
        let parameters = instance.parameters()?;
        let mut missing: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
        for step in 0..STEPS {
            clear_gradients(parameters.iter().map(|(_, tensor)| tensor))?;
            step_once(&mut instance, place).at(format!("step {step}"))?;
            for (name, tensor) in &parameters {
                let gradient = tensor.f_grad()?;
                if !gradient.defined() {
                    continue;
                }
                check_finite(&gradient, &format!("step {step}: the gradient of `{name}`"))?;
                if largest_magnitude(&gradient)? > 0.0 {
                    missing.retain(|other| other != name);
                }
                drop(tch::no_grad(|| tensor.shallow_clone().f_add_(&gradient.f_mul_scalar(-RATE)?))?);
            }
        }
        clear_gradients(parameters.iter().map(|(_, tensor)| tensor))?;
        if missing.is_empty() {
            return Ok(None);
        }
        let (n, of) = (missing.len(), parameters.len());
        broken(format!("within two steps no gradient reaches {n} of {of} parameters: {}", missing.join(", ")))
    })
}

/// Runs forward and backward. Fails if an input gets no gradient.
fn step_once(instance: &mut Instance, place: &Place) -> Result<(), Failure> {
    let x = place.batch(4)?;
    // The input of a host needs no gradient.
    let x = if place.site.is_some() { x.f_set_requires_grad(true)? } else { x };
    let mut inputs = vec![("its input", x)];
    let output = match instance {
        Instance::Blend(blend) => {
            inputs[0].0 = "the host's features";
            let seed = seed_features(&inputs[0].1)?.f_detach()?.f_set_requires_grad(true)?;
            inputs.push(("the seed's features", seed));
            mixed(blend, &inputs[0].1, &inputs[1].1, 0.5, Mode::Train)?
        }
        other => other.run(&inputs[0].1, Mode::Train)?,
    };
    if !output.requires_grad() {
        return broken("the output requires no gradient: it is detached from the autograd graph");
    }
    random_projection(&output)?.f_backward()?;
    for (what, input) in inputs.iter().filter(|(_, input)| input.requires_grad()) {
        let gradient = input.f_grad()?;
        if !gradient.defined() || largest_magnitude(&gradient)? == 0.0 {
            return broken(format!("no gradient reaches {what}"));
        }
        check_finite(&gradient, &format!("the gradient of {what}"))?;
    }
    Ok(())
}

/// Returns the largest absolute value of a gradient.
fn largest_magnitude(gradient: &Tensor) -> Result<f64, Failure> {
    if gradient.numel() == 0 {
        return Ok(0.0);
    }
    // NaN counts as a gradient here; the callers check that values are finite.
    value_of(&gradient.f_abs()?.f_max()?).map(|most| if most.is_nan() { f64::INFINITY } else { most })
}
