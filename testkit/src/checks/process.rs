//! Checks of effects on the process, and of latency.

use super::everywhere;
use crate::failure::{At, Failure, Outcome, broken};
use crate::judge::random_projection;
use crate::place::Place;
use crate::process::{changes, threads};
use crate::subject::Subject;
use kasmina_plugin_api::Mode;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tch::{Device, Kind, Tensor};

/// Maximum time of a small forward.
const BUDGET: Duration = Duration::from_secs(1);
/// Maximum time that a thread may outlive the call that started it.
const GRACE: Duration = Duration::from_secs(1);

/// Builds an instance, trains it, restores its state and drops it.
fn train_and_drop(subject: &Subject, place: &Place) -> Result<(), Failure> {
    let mut instance = subject.make(place)?;
    for _ in 0..2 {
        let output = instance.run(&place.batch(2)?, Mode::Train)?;
        if output.requires_grad() {
            random_projection(&output)?.f_backward()?;
        }
    }
    drop(instance.measure(&place.batch(2)?)?);
    let state = instance.state()?;
    if !state.is_empty() {
        instance.restore(&state, subject.entry.record().state_version)?;
    }
    Ok(())
}

pub(crate) fn unchanged(subject: &Subject) -> Outcome {
    start_torch_threads()?;
    let before = threads()?;
    let places = subject.places()?;
    for place in &places {
        train_and_drop(subject, place).at(place)?;
    }
    let found = changes()?;
    if !found.is_empty() {
        return broken(found.join("; "));
    }
    let started = Instant::now();
    loop {
        let left: Vec<String> =
            threads()?.into_iter().filter(|(id, _)| !before.contains_key(id)).map(|(_, name)| name).collect();
        if left.is_empty() {
            return Ok(None);
        }
        if started.elapsed() > GRACE {
            return broken(format!("it leaves {} threads running: {}", left.len(), left.join(", ")));
        }
        sleep(Duration::from_millis(20));
    }
}

/// Makes torch start its own threads, so that they do not count as threads of the plugin.
fn start_torch_threads() -> Result<(), Failure> {
    let a = Tensor::f_randn([256, 256], (Kind::Float, Device::Cpu))?.f_set_requires_grad(true)?;
    a.f_matmul(&a)?.f_sum(Kind::Float)?.f_backward()?;
    let x = Tensor::f_randn([4, 16, 32, 32], (Kind::Float, Device::Cpu))?;
    let kernel = Tensor::f_randn([16, 16, 3, 3], (Kind::Float, Device::Cpu))?;
    drop(x.f_conv2d(&kernel, None::<Tensor>, [1, 1], [1, 1], [1, 1], 1)?);
    Ok(())
}

/// Uses an instance. The parent process captures the output and completes the check.
pub(crate) fn prints_nothing(subject: &Subject) -> Outcome {
    everywhere(subject, |place| train_and_drop(subject, place).map(|()| None))
}

pub(crate) fn latency(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let mut instance = subject.make(place)?;
        let x = place.batch(2)?;
        let mut best = Duration::MAX;
        // The first calls may initialize caches.
        for call in 0..6 {
            let started = Instant::now();
            drop(instance.measure(&x)?);
            if call >= 3 {
                best = best.min(started.elapsed());
            }
        }
        if best > BUDGET {
            return broken(format!("a forward at {place} takes {:.2} s, after warm-up", best.as_secs_f64()));
        }
        Ok(None)
    })
}
