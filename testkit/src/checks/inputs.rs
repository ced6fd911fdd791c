//! Checks that inputs are not changed, and that unusual inputs cause no panic.

use super::everywhere;
use crate::failure::{At, Failure, Outcome, broken};
use crate::instance::{Instance, alpha, cx, seed_features};
use crate::judge::check_same_bits;
use crate::place::{Input, Place};
use crate::subject::Subject;
use kasmina_plugin_api::{ErrorKind, Mode, PluginError};
use kasmina_torch_ext::autograd::version;
use tch::{Kind, Tensor};

pub(crate) fn untouched(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        for mode in [Mode::Train, Mode::Eval] {
            let mut instance = subject.make(place)?;
            let mut inputs = vec![("its input", place.batch(3)?)];
            if let Instance::Blend(blend) = &mut instance {
                let seed = seed_features(&inputs[0].1)?;
                let alpha = alpha(&seed, 0.5)?;
                inputs.extend([("the seed's features", seed), ("alpha", alpha)]);
                check_unwritten(&inputs, || {
                    blend.gate(&inputs[0].1, &cx(mode))?;
                    blend.mix(&inputs[0].1, &inputs[1].1, &inputs[2].1, &cx(mode)).map(drop)
                })
                .at(format!("{mode:?}"))?;
                continue;
            }
            check_unwritten(&inputs, || {
                let outputs = instance.outputs(&inputs[0].1, mode)?;
                // The features that a tap returns may share memory with a seed or the host, so that a host
                // must not write to them.
                let mut taps = outputs.features.iter().zip(&outputs.written);
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

/// Runs a function and fails if it changes or writes to one of the tensors.
fn check_unwritten(
    inputs: &[(&str, Tensor)],
    body: impl FnOnce() -> kasmina_plugin_api::Result<()>,
) -> Result<(), Failure> {
    let before: Vec<(Tensor, u32)> =
        inputs.iter().map(|(_, t)| Ok((t.f_detach_copy()?, version(t)?))).collect::<Result<_, Failure>>()?;
    body()?;
    for ((what, now), (values, written)) in inputs.iter().zip(&before) {
        check_same_bits(values, now, &format!("it changed {what}"))?;
        let writes = version(now)?.wrapping_sub(*written);
        if writes != 0 {
            return broken(format!("it wrote {writes} times to {what} in place"));
        }
    }
    Ok(())
}

pub(crate) fn unusual(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let mut instance = subject.make(place)?;
        let healthy = place.batch(2)?;
        for (what, x) in unusual_inputs(place)? {
            for mode in [Mode::Train, Mode::Eval] {
                let answer = instance.run(&x, mode).and_then(|output| {
                    // The backward of an unusual result must not panic either.
                    if output.requires_grad() && output.numel() > 0 {
                        output.f_sum(output.kind())?.f_backward()?;
                    }
                    Ok(())
                });
                check_no_panic(answer).at(format!("{what} ({mode:?})"))?;
            }
            check_no_panic(instance.run(&healthy, Mode::Eval).map(drop))
                .at(format!("a healthy batch after {what}"))?;
        }
        Ok(None)
    })
}

/// Fails if the result is a panic or the error of a poisoned instance. Other errors are allowed.
fn check_no_panic(answer: kasmina_plugin_api::Result<()>) -> Result<(), Failure> {
    match answer {
        Err(error) if matches!(error.kind, ErrorKind::Panic | ErrorKind::Poisoned) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Returns unusual inputs with descriptions.
fn unusual_inputs(place: &Place) -> Result<Vec<(&'static str, Tensor)>, Failure> {
    let x = place.batch(2)?;
    let mut all = vec![("an empty batch", place.batch(0)?), ("a batch of 256", place.batch(256)?)];
    if place.input.tokens {
        all.push(("tokens as floats", x.f_to_kind(Kind::Float)?));
        return Ok(all);
    }
    let filled = |value: f64| -> Result<Tensor, Failure> {
        let filled = x.f_detach_copy()?;
        drop(filled.f_select(0, 0)?.f_fill_(value)?);
        Ok(filled)
    };
    all.extend([
        ("a sample of NaN", filled(f64::NAN)?),
        ("a sample of infinity", filled(f64::INFINITY)?),
        ("a sample of 1e38", filled(1e38)?),
        ("float16", x.f_to_kind(Kind::Half)?),
        ("bfloat16", x.f_to_kind(Kind::BFloat16)?),
        ("float64", x.f_to_kind(Kind::Double)?),
    ]);
    // The dimension of the channels in a sample: the last one of a sequence, the first one of a feature map.
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
