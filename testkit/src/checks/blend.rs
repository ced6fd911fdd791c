//! Checks of blends only: curve, gate and mixture.

use super::everywhere;
use crate::failure::{At, Failure, Outcome, broken};
use crate::instance::{Instance, alpha, cx, seed_features};
use crate::judge::{check_close, check_finite, value_of};
use crate::place::Place;
use crate::subject::Subject;
use kasmina_plugin_api::Mode;
use kasmina_plugin_api::abi::BlendInstance;
use tch::Tensor;

/// Number of intervals at which a curve is sampled. 840 has many divisors, so that the grid contains the
/// points of most short ramps.
const POINTS: u32 = 840;
/// Curves that rise by less count as flat.
const FLAT: f64 = 1e-9;

fn blend(subject: &Subject, place: &Place) -> Result<BlendInstance, Failure> {
    match subject.make(place)? {
        Instance::Blend(blend) => Ok(blend),
        _ => Err(Failure::NotApplicable("it is not a blend".to_owned())),
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
        // Kasmina scales the curve so that it goes from 0 to 1, which is impossible for a flat curve.
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
        let seed = seed_features(&host)?;
        let mut note = None;
        for mode in [Mode::Train, Mode::Eval] {
            let mut blend = blend(subject, place)?;
            let mut mix =
                |end| blend.mix(&host, &seed, &alpha(&host, end)?, &cx(mode)).map_err(Failure::from);
            let none = mix(0.0)?;
            check_close(
                &host,
                &none,
                &format!("{mode:?}: at alpha 0 the mixture is not the host's features"),
            )?;
            let all = mix(1.0)?;
            check_finite(&all, &format!("{mode:?}: at alpha 1 the mixture"))?;
            if check_close(&seed, &all, "").is_err() {
                note = Some(
                    "at alpha 1 the mixture is not the seed's features, but contains the host's".to_owned(),
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
            return broken("it declares `seed_at_one`, but has a gate, by which alpha 1 is multiplied");
        }
        // At alpha 1 a slot does not call such a blend but returns the seed's features.
        let seed = seed_features(&host)?;
        let mixed = blend.mix(&host, &seed, &alpha(&host, 1.0)?, &cx(Mode::Eval))?;
        check_close(
            &seed,
            &mixed,
            "it declares `seed_at_one`, but at alpha 1 the mixture is not the seed's features",
        )?;
        Ok(None)
    })
}

pub(crate) fn per_sample(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let mut blend = blend(subject, place)?;
        let host = place.batch(3)?;
        let seed = seed_features(&host)?;
        let alphas = [0.0, 0.3, 1.0];
        let mut shape = vec![1; host.dim()];
        shape[0] = 3;
        let each = Tensor::f_from_slice(&alphas)?.f_to_kind(host.kind())?.f_view(shape.as_slice())?;
        let together = blend.mix(&host, &seed, &each, &cx(Mode::Eval))?;
        crate::judge::check_like(&host, &together, "with an alpha per sample the mixture")?;
        for (i, value) in (0..).zip(alphas) {
            let (h, s) = (host.f_narrow(0, i, 1)?, seed.f_narrow(0, i, 1)?);
            let alone = blend.mix(&h, &s, &alpha(&h, value)?, &cx(Mode::Eval))?;
            let own = together.f_narrow(0, i, 1)?;
            check_close(&alone, &own, &format!("sample {i} at alpha {value}, alone and among others"))?;
        }
        Ok(None)
    })
}

pub(crate) fn gate(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        for mode in [Mode::Train, Mode::Eval] {
            let mut blend = blend(subject, place)?;
            // Features far from 0 reveal a gate that is not bounded.
            for scale in [1.0, 100.0] {
                let features = place.batch(3)?.f_mul_scalar(scale)?;
                let Some(gate) = blend.gate(&features, &cx(mode))? else {
                    return Ok(Some("it has no gate".to_owned()));
                };
                check_gate(&features, &gate, place.is_sequence())
                    .at(format!("{mode:?}, features times {scale}"))?;
            }
        }
        Ok(None)
    })
}

fn check_gate(features: &Tensor, gate: &Tensor, sequence: bool) -> Result<(), Failure> {
    let mut want = vec![1; features.dim()];
    want[0] = features.size()[0];
    let mut per_position = want.clone();
    per_position[1] = features.size()[1];
    if gate.size() != want && !(sequence && gate.size() == per_position) {
        return broken(format!("the gate has shape {:?}, expected {want:?}", gate.size()));
    }
    check_finite(gate, "the gate")?;
    let (least, most) = (value_of(&gate.detach().f_min()?)?, value_of(&gate.detach().f_max()?)?);
    if least < 0.0 || most > 1.0 {
        return broken(format!("the gate goes from {least:.3} to {most:.3}, expected numbers in [0, 1]"));
    }
    Ok(())
}
