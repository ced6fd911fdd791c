//! The process around an instance, and its time.

use super::everywhere;
use crate::failure::{At, Failure, Outcome, broken};
use crate::judge::leaning;
use crate::place::Place;
use crate::process::{changes, threads};
use crate::subject::Subject;
use kasmina_plugin_api::Mode;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

const BUDGET: Duration = Duration::from_secs(1);
/// How long a thread may take to end after the call that started it.
const GRACE: Duration = Duration::from_secs(1);

/// Builds, trains and drops an entry once.
fn life(subject: &Subject, place: &Place) -> Result<(), Failure> {
    let mut live = subject.make(place)?;
    for _ in 0..2 {
        let output = live.run(&place.batch(2)?, Mode::Train)?;
        if output.requires_grad() {
            leaning(&output)?.f_backward()?;
        }
    }
    drop(live.measure(&place.batch(2)?)?);
    let state = live.state()?;
    if !state.is_empty() {
        live.restore(&state, subject.entry.record().state_version)?;
    }
    Ok(())
}

pub(crate) fn process(subject: &Subject) -> Outcome {
    warm()?;
    let before = threads()?;
    let places = subject.places()?;
    for place in &places {
        life(subject, place).at(place)?;
    }
    let found = changes()?;
    if !found.is_empty() {
        return broken(found.join("; "));
    }
    let begun = Instant::now();
    loop {
        let left: Vec<String> =
            threads()?.into_iter().filter(|(id, _)| !before.contains_key(id)).map(|(_, name)| name).collect();
        if left.is_empty() {
            return Ok(None);
        }
        if begun.elapsed() > GRACE {
            return broken(format!("it leaves {} threads running: {}", left.len(), left.join(", ")));
        }
        sleep(Duration::from_millis(20));
    }
}

/// Lets torch start the threads that are its own.
fn warm() -> Result<(), Failure> {
    let a = Tensor::f_randn([256, 256], (Kind::Float, Device::Cpu))?.f_set_requires_grad(true)?;
    a.f_matmul(&a)?.f_sum(Kind::Float)?.f_backward()?;
    let x = Tensor::f_randn([4, 16, 32, 32], (Kind::Float, Device::Cpu))?;
    let kernel = Tensor::f_randn([16, 16, 3, 3], (Kind::Float, Device::Cpu))?;
    drop(x.f_conv2d(&kernel, None::<Tensor>, [1, 1], [1, 1], [1, 1], 1)?);
    Ok(())
}

/// What is printed is caught, and judged, by the parent.
pub(crate) fn quiet(subject: &Subject) -> Outcome {
    everywhere(subject, |place| life(subject, place).map(|()| None))
}

pub(crate) fn latency(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let mut live = subject.make(place)?;
        let x = place.batch(2)?;
        let mut best = Duration::MAX;
        // The first calls may look things up and make tables.
        for call in 0..6 {
            let begun = Instant::now();
            drop(live.measure(&x)?);
            if call >= 3 {
                best = best.min(begun.elapsed());
            }
        }
        if best > BUDGET {
            return broken(format!(
                "a forward of {place} takes {:.2} s even when it is warm",
                best.as_secs_f64()
            ));
        }
        Ok(None)
    })
}
