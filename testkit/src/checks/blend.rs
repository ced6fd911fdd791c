//! What only blends promise.

use super::everywhere;
use crate::failure::{At, Failure, Outcome, broken};
use crate::judge::{close, finite, read};
use crate::live::{Live, alpha, companion, cx};
use crate::place::Place;
use crate::subject::Subject;
use kasmina_plugin_api::Mode;
use kasmina_plugin_api::abi::BlendInstance;
use tch::Tensor;

/// Ramps have any number of ticks: so fine a grid has most of their points, or lies close to them.
const POINTS: u32 = 840;
/// How closely a curve may come to its own start without being flat.
const FLAT: f64 = 1e-9;

fn blend(subject: &Subject, place: &Place) -> Result<BlendInstance, Failure> {
    match subject.make(place)? {
        Live::Blend(blend) => Ok(blend),
        _ => Err(Failure::NotHere("it is no blend".to_owned())),
    }
}

pub(crate) fn curve(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let blend = blend(subject, place)?;
        let mut points = Vec::new();
        for i in 0..=POINTS {
            let t = f64::from(i) / f64::from(POINTS);
            let value = blend.curve(t)?;
            if !value.is_finite() {
                return broken(format!("at t = {t:.4} the curve is {value}"));
            }
            points.push((t, value));
        }
        let (Some((_, first)), Some((_, last))) = (points.first(), points.last()) else { return Ok(None) };
        // The core puts the ends on 0 and 1: a curve that ends where it begins has none.
        if last - first < FLAT {
            return broken(format!(
                "the curve goes from {first} to {last}: it cannot be stretched from 0 to 1"
            ));
        }
        let falls = points.windows(2).find(|pair| pair[1].1 < pair[0].1 - FLAT);
        Ok(falls.map(|pair| {
            format!("warning: the curve falls between t = {:.3} and {:.3}", pair[0].0, pair[1].0)
        }))
    })
}

pub(crate) fn ends(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let host = place.batch(3)?;
        let seed = companion(&host)?;
        let mut note = None;
        for mode in [Mode::Train, Mode::Eval] {
            let mut blend = blend(subject, place)?;
            let mut mix =
                |end| blend.mix(&host, &seed, &alpha(&host, end)?, &cx(mode)).map_err(Failure::from);
            let none = mix(0.0)?;
            close(&host, &none, &format!("{mode:?}: at alpha 0 the mixture is not the host's features"))?;
            let all = mix(1.0)?;
            finite(&all, &format!("{mode:?}: at alpha 1 the mixture"))?;
            if close(&seed, &all, "").is_err() {
                note = Some(
                    "at alpha 1 the mixture is not the seed's features: the host's stay in it".to_owned(),
                );
            }
        }
        Ok(note)
    })
}

pub(crate) fn seed_at_one(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let mut blend = blend(subject, place)?;
        let host = place.batch(3)?;
        if blend.gate(&host, &cx(Mode::Eval))?.is_some() {
            return broken("it declares `seed_at_one`, and has a gate, which alpha 1 is multiplied by");
        }
        // Nobody asks it then, so that nothing of the host may matter, its NaN least of all.
        let seed = companion(&host)?;
        let mixed = blend.mix(&host, &seed, &alpha(&host, 1.0)?, &cx(Mode::Eval))?;
        close(
            &seed,
            &mixed,
            "it declares `seed_at_one`, but at alpha 1 it does not give the seed's features",
        )?;
        Ok(None)
    })
}

pub(crate) fn per_sample(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let mut blend = blend(subject, place)?;
        let host = place.batch(3)?;
        let seed = companion(&host)?;
        let alphas = [0.0, 0.3, 1.0];
        let mut shape = vec![1; host.dim()];
        shape[0] = 3;
        let each = Tensor::f_from_slice(&alphas)?.f_to_kind(host.kind())?.f_view(shape.as_slice())?;
        let together = blend.mix(&host, &seed, &each, &cx(Mode::Eval))?;
        crate::judge::like(&host, &together, "with an alpha per sample the mixture")?;
        for (i, value) in (0..).zip(alphas) {
            let (h, s) = (host.f_narrow(0, i, 1)?, seed.f_narrow(0, i, 1)?);
            let alone = blend.mix(&h, &s, &alpha(&h, value)?, &cx(Mode::Eval))?;
            let own = together.f_narrow(0, i, 1)?;
            close(&alone, &own, &format!("sample {i} at alpha {value}, alone and among others"))?;
        }
        Ok(None)
    })
}

pub(crate) fn gate(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        for mode in [Mode::Train, Mode::Eval] {
            let mut blend = blend(subject, place)?;
            // Features far from 0 drive what is not bounded out of its bounds.
            for scale in [1.0, 100.0] {
                let features = place.batch(3)?.f_mul_scalar(scale)?;
                let Some(gate) = blend.gate(&features, &cx(mode))? else {
                    return Ok(Some("it has no gate".to_owned()));
                };
                judge(&features, &gate, place.is_sequence())
                    .at(format!("{mode:?}, features times {scale}"))?;
            }
        }
        Ok(None)
    })
}

fn judge(features: &Tensor, gate: &Tensor, sequence: bool) -> Result<(), Failure> {
    let mut want = vec![1; features.dim()];
    want[0] = features.size()[0];
    let mut per_position = want.clone();
    per_position[1] = features.size()[1];
    if gate.size() != want && !(sequence && gate.size() == per_position) {
        return broken(format!("the gate has shape {:?}, expected {want:?}", gate.size()));
    }
    finite(gate, "the gate")?;
    let (least, most) = (read(&gate.detach().f_min()?)?, read(&gate.detach().f_max()?)?);
    if least < 0.0 || most > 1.0 {
        return broken(format!("the gate goes from {least:.3} to {most:.3}, expected numbers in [0, 1]"));
    }
    Ok(())
}
