//! Checks that the samples of a batch are independent, and that positions of a sequence depend only on
//! earlier ones.

use super::everywhere;
use crate::failure::{At, Failure, Outcome, broken};
use crate::instance::{Instance, cx};
use crate::judge::check_close;
use crate::place::Place;
use crate::subject::Subject;
use kasmina_plugin_api::Mode;
use tch::Tensor;

pub(crate) fn batch_independent(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let mut instance = subject.make(place)?;
        // A gain of 0 in a fresh instance would hide any dependence.
        perturb(&instance)?;
        let x = place.batch(4)?;
        let together = outputs_of(&mut instance, &x)?;
        for sample in [0, 3] {
            let alone = outputs_of(&mut instance, &x.f_narrow(0, sample, 1)?)?;
            for ((what, all), (_, one)) in together.iter().zip(&alone) {
                let own = all.f_narrow(0, sample, 1)?;
                check_close(&own, one, &format!("sample {sample} of 4 and the same sample alone: {what}"))?;
            }
        }
        Ok(None)
    })
}

/// Adds noise to the parameters.
pub(super) fn perturb(instance: &Instance) -> Result<(), Failure> {
    for (_, tensor) in instance.parameters()? {
        let noise = tensor.detach().f_randn_like()?.f_mul_scalar(0.2)?;
        drop(tch::no_grad(|| tensor.shallow_clone().f_add_(&noise))?);
    }
    Ok(())
}

/// Returns all outputs for a batch in eval mode: the gate of a blend, the output, and the features at the
/// slots of a host.
fn outputs_of(instance: &mut Instance, x: &Tensor) -> Result<Vec<(String, Tensor)>, Failure> {
    let _no_grad = tch::no_grad_guard();
    let mut seen = Vec::new();
    if let Instance::Blend(blend) = instance
        && let Some(gate) = blend.gate(x, &cx(Mode::Eval))?
    {
        seen.push(("the gate".to_owned(), gate));
    }
    let outputs = instance.outputs(x, Mode::Eval)?;
    seen.extend(outputs.all().map(|(what, tensor)| (what, tensor.shallow_clone())));
    Ok(seen)
}

pub(crate) fn causal(subject: &Subject) -> Outcome {
    let mut sequences = 0;
    everywhere(subject, |place| {
        if !place.is_sequence() {
            return Ok(None);
        }
        sequences += 1;
        sequence(subject, place).map(|()| None)
    })?;
    if sequences == 0 {
        return Err(Failure::NotApplicable("its inputs are not sequences".to_owned()));
    }
    Ok(None)
}

/// Changes the last positions of a sequence and fails if an output at an earlier position changes.
fn sequence(subject: &Subject, place: &Place) -> Result<(), Failure> {
    let mut instance = subject.make(place)?;
    perturb(&instance)?;
    let x = place.batch(2)?;
    let length = x.size()[1];
    let before = outputs_of(&mut instance, &x)?;
    for position in [length - 1, length / 2] {
        let changed = x.f_detach_copy()?;
        let tail = changed.f_narrow(1, position, length - position)?;
        let other = if place.input.tokens { tail.f_ones_like()?.f_sub(&tail)? } else { tail.f_randn_like()? };
        tail.shallow_clone().f_copy_(&other)?;
        let after = outputs_of(&mut instance, &changed)?;
        for ((what, was), (_, is)) in before.iter().zip(&after) {
            // Logits for a whole sequence (classification) have no positions. A gate per sample must not
            // depend on the last positions.
            let positions = was.dim() == 3 && was.size()[1] == length;
            if !positions {
                if what == "the gate" {
                    check_close(
                        was,
                        is,
                        "the gate of a sample depends on its last positions: it must be causal",
                    )
                    .at(format!("position {position} of {length} changed"))?;
                }
                continue;
            }
            let earlier = |t: &Tensor| t.f_narrow(1, 0, position);
            check_close(&earlier(was)?, &earlier(is)?, &format!("{what} at earlier positions"))
                .at(format!("position {position} of {length} changed"))?;
        }
    }
    if before.iter().all(|(_, t)| t.dim() != 3 || t.size()[1] != length) {
        return broken("none of its outputs has a dimension of positions");
    }
    Ok(())
}
