//! Checks for leaks.

use super::everywhere;
use crate::failure::{Outcome, broken};
use crate::place::{Input, Place};
use crate::process::resident;
use crate::subject::Subject;
use kasmina_plugin_api::{Kind, Mode};
use kasmina_torch_ext::memory::MemoryCounter;
use std::time::{Duration, Instant};

/// Number of instances that are built and dropped.
const INSTANCES: u32 = 500;
/// Number of instances that are built and dropped before the measurement.
const WARM_UP: u32 = 50;
/// Time limit, within which fewer large instances are built.
const TIME_LIMIT: Duration = Duration::from_secs(4);
/// Growth of the resident memory in bytes that is attributed to allocators.
const ALLOWED_GROWTH: u64 = 4 << 20;

pub(crate) fn build_and_drop(subject: &Subject) -> Outcome {
    // One place is enough, because a leak does not depend on the site.
    let place = match subject.entry.kind() {
        Kind::Host => Place::for_host(Input::new(&[])),
        _ => subject.places()?.swap_remove(0),
    };
    let started = Instant::now();
    for _ in 0..WARM_UP {
        drop(subject.make(&place)?);
        if started.elapsed() > TIME_LIMIT / 4 {
            break;
        }
    }
    let (before, counter) = (resident()?, MemoryCounter::start()?);
    let mut times = 0;
    while times < INSTANCES && started.elapsed() < TIME_LIMIT {
        drop(subject.make(&place)?);
        times += 1;
    }
    let tensors = counter.read()?.live_bytes;
    if tensors > 0 {
        return broken(format!("built and dropped {times} times, it leaks {tensors} bytes of tensors"));
    }
    let grown = resident()?.saturating_sub(before);
    if grown > ALLOWED_GROWTH {
        return broken(format!("built and dropped {times} times, it leaks {} KiB", grown / 1024));
    }
    Ok((times < INSTANCES).then(|| format!("built and dropped only {times} times")))
}

pub(crate) fn keeps_nothing(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let mut instance = subject.make(place)?;
        let batch = 8;
        // Tensors that are created once for a shape, for example masks, may be kept.
        for mode in [Mode::Train, Mode::Eval, Mode::Train, Mode::Eval] {
            drop(instance.run(&place.batch(batch)?, mode)?);
        }
        for mode in [Mode::Train, Mode::Eval] {
            let counter = MemoryCounter::start()?;
            let mut input_bytes = 0;
            for _ in 0..5 {
                let x = place.batch(batch)?;
                input_bytes = (x.numel() * x.kind().elt_size_in_bytes()) as i64;
                drop(instance.run(&x, mode)?);
            }
            let kept = counter.read()?.live_bytes;
            // Small tensors may be kept, for example counters.
            if kept >= input_bytes {
                return broken(format!(
                    "{mode:?}: after five calls with inputs of {input_bytes} bytes, {kept} bytes of tensors \
                     are still held"
                ));
            }
        }
        Ok(None)
    })
}
