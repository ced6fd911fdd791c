//! Several instances, several threads.

use super::everywhere;
use crate::failure::{At, Failure, Outcome, broken};
use crate::judge::{close, leaning, same_bits};
use crate::live::Live;
use crate::subject::Subject;
use kasmina_plugin_api::Mode;
use kasmina_torch_ext::rng::RngFork;
use tch::Tensor;

pub(crate) fn independent(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let mut quiet = subject.make(place)?;
        let x = place.batch(3)?;
        let (output, variables, state) =
            (same_luck(subject, &mut quiet, &x)?, copies(&quiet)?, quiet.state()?);

        // A second one learns, hard, on other data; a third is dropped.
        let mut busy = subject.make_seeded(place, subject.seed ^ 2)?;
        for _ in 0..3 {
            let y = place.batch(5)?;
            let output = busy.run(&y, Mode::Train)?;
            if output.requires_grad() {
                leaning(&output)?.f_backward()?;
            }
            for (_, tensor) in busy.parameters()? {
                drop(tch::no_grad(|| tensor.shallow_clone().f_add_scalar_(0.37))?);
            }
        }
        drop(busy.measure(&place.batch(2)?)?);
        drop(subject.make(place)?);

        for ((name, was), (_, is)) in variables.iter().zip(&copies(&quiet)?) {
            same_bits(
                was,
                is,
                &format!("another instance learnt, and variable `{name}` of this one changed"),
            )?;
        }
        if quiet.state()? != state {
            return broken("another instance learnt, and the state of this one changed");
        }
        let again = same_luck(subject, &mut quiet, &x)?;
        same_bits(&output, &again, "another instance learnt, and the output of this one changed")?;
        Ok(None)
    })
}

/// A measurement under the same random numbers, should it draw some.
fn same_luck(subject: &Subject, live: &mut Live, x: &Tensor) -> Result<Tensor, Failure> {
    let _fork = RngFork::seeded(subject.seed)?;
    Ok(live.measure(x)?)
}

fn copies(live: &Live) -> Result<Vec<(String, Tensor)>, Failure> {
    live.variables()?.into_iter().map(|v| Ok((v.name, v.tensor.f_detach_copy()?))).collect()
}

pub(crate) fn other_thread(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let mut live = subject.make(place)?;
        let x = place.batch(2)?;
        let here = live.measure(&x)?;
        // Nothing random: the generators are held by this thread.
        let (there, mut live) = elsewhere(&x, live).at("on another thread than the one that built it")?;
        close(&here, &there, "on another thread it gives another output")?;
        close(&here, &live.measure(&x)?, "back on its first thread it gives another output")?;
        let (answer, _) =
            elsewhere(&x, subject.make(place)?).at("a fresh instance, first used on another thread")?;
        close(&here, &answer, "first used on another thread, it gives another output")?;
        Ok(None)
    })
}

fn elsewhere(x: &Tensor, mut live: Live) -> Result<(Tensor, Live), Failure> {
    let x = x.shallow_clone();
    let thread = std::thread::Builder::new().spawn(move || {
        let answer = live.measure(&x);
        (answer, live)
    })?;
    let Ok((answer, live)) = thread.join() else { return broken("it panics past its guard") };
    Ok((answer?, live))
}
