//! What may not influence what: samples of a batch, and positions of a sequence.

use super::everywhere;
use crate::failure::{At, Failure, Outcome, broken};
use crate::judge::close;
use crate::live::{Live, cx};
use crate::place::Place;
use crate::subject::Subject;
use kasmina_plugin_api::Mode;
use tch::Tensor;

pub(crate) fn batch_independent(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let mut live = subject.make(place)?;
        // A fresh gain of 0 would hide everything.
        stir(&live)?;
        let x = place.batch(4)?;
        let together = seen(&mut live, &x)?;
        for sample in [0, 3] {
            let alone = seen(&mut live, &x.f_narrow(0, sample, 1)?)?;
            for ((what, all), (_, one)) in together.iter().zip(&alone) {
                let own = all.f_narrow(0, sample, 1)?;
                close(&own, one, &format!("sample {sample} of 4 and the same sample alone: {what}"))?;
            }
        }
        Ok(None)
    })
}

/// Moves the parameters a little from where they were born.
fn stir(live: &Live) -> Result<(), Failure> {
    for (_, tensor) in live.parameters()? {
        let noise = tensor.detach().f_randn_like()?.f_mul_scalar(0.2)?;
        drop(tch::no_grad(|| tensor.shallow_clone().f_add_(&noise))?);
    }
    Ok(())
}

/// Everything that eval mode shows of a batch.
fn seen(live: &mut Live, x: &Tensor) -> Result<Vec<(String, Tensor)>, Failure> {
    let _no_grad = tch::no_grad_guard();
    let mut seen = Vec::new();
    if let Live::Blend(blend) = live
        && let Some(gate) = blend.gate(x, &cx(Mode::Eval))?
    {
        seen.push(("the gate".to_owned(), gate));
    }
    let shown = live.show(x, Mode::Eval)?;
    seen.extend(shown.all().map(|(what, tensor)| (what, tensor.shallow_clone())));
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
        return Err(Failure::NotHere("it sees no sequences".to_owned()));
    }
    Ok(None)
}

fn sequence(subject: &Subject, place: &Place) -> Result<(), Failure> {
    let mut live = subject.make(place)?;
    stir(&live)?;
    let x = place.batch(2)?;
    let length = x.size()[1];
    let before = seen(&mut live, &x)?;
    for position in [length - 1, length / 2] {
        let changed = x.f_detach_copy()?;
        let tail = changed.f_narrow(1, position, length - position)?;
        let other = if place.input.tokens { tail.f_ones_like()?.f_sub(&tail)? } else { tail.f_randn_like()? };
        tail.shallow_clone().f_copy_(&other)?;
        let after = seen(&mut live, &changed)?;
        for ((what, was), (_, is)) in before.iter().zip(&after) {
            // Logits of a whole sequence (a classification) have no positions, a gate per sample has seen
            // them all.
            let positions = was.dim() == 3 && was.size()[1] == length;
            if !positions {
                if what == "the gate" {
                    close(was, is, "the gate of a sample follows its last positions: it must be causal")
                        .at(format!("position {position} of {length} changed"))?;
                }
                continue;
            }
            let earlier = |t: &Tensor| t.f_narrow(1, 0, position);
            close(&earlier(was)?, &earlier(is)?, &format!("{what} at earlier positions"))
                .at(format!("position {position} of {length} changed"))?;
        }
    }
    if before.iter().all(|(_, t)| t.dim() != 3 || t.size()[1] != length) {
        return broken("nothing that it shows has positions to look at");
    }
    Ok(())
}
