//! Inputs: left alone, and survived.

use super::everywhere;
use crate::failure::{At, Failure, Outcome, broken};
use crate::judge::same_bits;
use crate::live::{Live, alpha, companion, cx};
use crate::place::{Input, Place};
use crate::subject::Subject;
use kasmina_plugin_api::{ErrorKind, Mode, PluginError};
use kasmina_torch_ext::autograd::version;
use tch::{Kind, Tensor};

pub(crate) fn untouched(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        for mode in [Mode::Train, Mode::Eval] {
            let mut live = subject.make(place)?;
            let mut lent = vec![("its input", place.batch(3)?)];
            if let Live::Blend(blend) = &mut live {
                let seed = companion(&lent[0].1)?;
                let alpha = alpha(&seed, 0.5)?;
                lent.extend([("the seed's features", seed), ("alpha", alpha)]);
                watched(&lent, || {
                    blend.gate(&lent[0].1, &cx(mode))?;
                    blend.mix(&lent[0].1, &lent[1].1, &lent[2].1, &cx(mode)).map(drop)
                })
                .at(format!("{mode:?}"))?;
                continue;
            }
            watched(&lent, || {
                let shown = live.show(&lent[0].1, mode)?;
                // What a tap gave back may be the seed's or the host's own memory, and is not to be written
                // to.
                let mut taps = shown.features.iter().zip(&shown.written);
                let written = taps.position(|(t, before)| version(t).is_ok_and(|now| now != *before));
                match written {
                    None => Ok(()),
                    Some(slot) => Err(PluginError::contract(format!(
                        "it wrote to what the tap of slot {slot} returned"
                    ))),
                }
            })
            .at(format!("{mode:?}"))?;
        }
        Ok(None)
    })
}

fn watched(
    lent: &[(&str, Tensor)],
    body: impl FnOnce() -> kasmina_plugin_api::Result<()>,
) -> Result<(), Failure> {
    let before: Vec<(Tensor, u32)> =
        lent.iter().map(|(_, t)| Ok((t.f_detach_copy()?, version(t)?))).collect::<Result<_, Failure>>()?;
    body()?;
    for ((what, now), (values, written)) in lent.iter().zip(&before) {
        same_bits(values, now, &format!("it changed {what}"))?;
        let writes = version(now)?.wrapping_sub(*written);
        if writes != 0 {
            return broken(format!("it wrote {writes} times to {what} in place"));
        }
    }
    Ok(())
}

pub(crate) fn odd(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let mut live = subject.make(place)?;
        let healthy = place.batch(2)?;
        for (what, x) in oddities(place)? {
            for mode in [Mode::Train, Mode::Eval] {
                let answer = live.run(&x, mode).and_then(|output| {
                    // The graph behind a strange result is the author's as well.
                    if output.requires_grad() && output.numel() > 0 {
                        output.f_sum(output.kind())?.f_backward()?;
                    }
                    Ok(())
                });
                survived(answer).at(format!("{what} ({mode:?})"))?;
            }
            survived(live.run(&healthy, Mode::Eval).map(drop)).at(format!("a healthy batch after {what}"))?;
        }
        Ok(None)
    })
}

fn survived(answer: kasmina_plugin_api::Result<()>) -> Result<(), Failure> {
    match answer {
        Err(error) if matches!(error.kind, ErrorKind::Panic | ErrorKind::Poisoned) => Err(error.into()),
        _ => Ok(()),
    }
}

fn oddities(place: &Place) -> Result<Vec<(&'static str, Tensor)>, Failure> {
    let x = place.batch(2)?;
    let mut all = vec![("an empty batch", place.batch(0)?), ("a batch of 256", place.batch(256)?)];
    if place.input.tokens {
        all.push(("tokens as floats", x.f_to_kind(Kind::Float)?));
        return Ok(all);
    }
    let spoiled = |value: f64| -> Result<Tensor, Failure> {
        let spoiled = x.f_detach_copy()?;
        drop(spoiled.f_select(0, 0)?.f_fill_(value)?);
        Ok(spoiled)
    };
    all.extend([
        ("a sample of NaN", spoiled(f64::NAN)?),
        ("a sample of infinity", spoiled(f64::INFINITY)?),
        ("a sample of 1e38", spoiled(1e38)?),
        ("float16", x.f_to_kind(Kind::Half)?),
        ("bfloat16", x.f_to_kind(Kind::BFloat16)?),
        ("float64", x.f_to_kind(Kind::Double)?),
    ]);
    // Another number of channels, and none; a sequence has them last.
    let channel = usize::from(place.is_sequence());
    for (what, channels) in [("another number of channels", 7), ("no channels", 0)] {
        let mut sample = place.input.sample.clone();
        if let Some(size) = sample.get_mut(channel) {
            *size = channels;
        }
        all.push((what, Input::new(&sample).batch(2)?));
    }
    Ok(all)
}
