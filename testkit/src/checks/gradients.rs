//! Gradients: that they come, everywhere, and are numbers.

use super::everywhere;
use crate::failure::{At, Failure, Outcome, broken};
use crate::judge::{finite, leaning, read};
use crate::live::{Live, companion, mixed};
use crate::place::Place;
use crate::subject::Subject;
use kasmina_plugin_api::Mode;
use kasmina_torch_ext::norm::clear_gradients;
use tch::Tensor;

/// A gain that starts at 0 hides what is behind it for one step, a gate behind a gain for two.
const STEPS: usize = 3;
const RATE: f64 = 0.1;

pub(crate) fn flow(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let mut live = subject.make(place)?;
        let parameters = live.parameters()?;
        let mut missing: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
        for step in 0..STEPS {
            clear_gradients(parameters.iter().map(|(_, tensor)| tensor))?;
            step_once(&mut live, place).at(format!("step {step}"))?;
            for (name, tensor) in &parameters {
                let gradient = tensor.f_grad()?;
                if !gradient.defined() {
                    continue;
                }
                finite(&gradient, &format!("step {step}: the gradient of `{name}`"))?;
                if strength(&gradient)? > 0.0 {
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

/// Forward and backward; the inputs must get their part.
fn step_once(live: &mut Live, place: &Place) -> Result<(), Failure> {
    let x = place.batch(4)?;
    // What is outside of a host does not learn.
    let x = if place.site.is_some() { x.f_set_requires_grad(true)? } else { x };
    let mut inputs = vec![("its input", x)];
    let output = match live {
        Live::Blend(blend) => {
            inputs[0].0 = "the host's features";
            let seed = companion(&inputs[0].1)?.f_detach()?.f_set_requires_grad(true)?;
            inputs.push(("the seed's features", seed));
            mixed(blend, &inputs[0].1, &inputs[1].1, 0.5, Mode::Train)?
        }
        other => other.run(&inputs[0].1, Mode::Train)?,
    };
    if !output.requires_grad() {
        return broken("the output depends on nothing that could learn: it is cut off from the graph");
    }
    leaning(&output)?.f_backward()?;
    for (what, input) in inputs.iter().filter(|(_, input)| input.requires_grad()) {
        let gradient = input.f_grad()?;
        if !gradient.defined() || strength(&gradient)? == 0.0 {
            return broken(format!("no gradient reaches {what}"));
        }
        finite(&gradient, &format!("the gradient of {what}"))?;
    }
    Ok(())
}

fn strength(gradient: &Tensor) -> Result<f64, Failure> {
    if gradient.numel() == 0 {
        return Ok(0.0);
    }
    // A NaN is strong, and told apart by who looks for it.
    read(&gradient.f_abs()?.f_max()?).map(|most| if most.is_nan() { f64::INFINITY } else { most })
}
