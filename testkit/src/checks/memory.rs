//! Nothing stays behind.

use super::everywhere;
use crate::failure::{Outcome, broken};
use crate::place::{Input, Place};
use crate::process::resident;
use crate::subject::Subject;
use kasmina_plugin_api::{Kind, Mode};
use kasmina_torch_ext::memory::MemoryCounter;
use std::time::{Duration, Instant};

const TIMES: u32 = 500;
const WARM: u32 = 50;
/// Large instances are not made as often.
const PATIENCE: Duration = Duration::from_secs(4);
/// What allocators keep for themselves, and rounding.
const SLACK: u64 = 4 << 20;

pub(crate) fn make_and_drop(subject: &Subject) -> Outcome {
    // One place is enough: what is left behind is left anywhere.
    let place = match subject.entry.kind() {
        Kind::Host => Place::outside(Input::new(&[])),
        _ => subject.places()?.swap_remove(0),
    };
    let begun = Instant::now();
    for _ in 0..WARM {
        drop(subject.make(&place)?);
        if begun.elapsed() > PATIENCE / 4 {
            break;
        }
    }
    let (before, counter) = (resident()?, MemoryCounter::start()?);
    let mut times = 0;
    while times < TIMES && begun.elapsed() < PATIENCE {
        drop(subject.make(&place)?);
        times += 1;
    }
    let tensors = counter.read()?.live_bytes;
    if tensors > 0 {
        return broken(format!(
            "made and dropped {times} times, it leaves {tensors} bytes of tensors behind"
        ));
    }
    let grown = resident()?.saturating_sub(before);
    if grown > SLACK {
        return broken(format!("made and dropped {times} times, it leaves {} KiB behind", grown / 1024));
    }
    Ok((times < TIMES).then(|| format!("made and dropped {times} times")))
}

pub(crate) fn keeps_nothing(subject: &Subject) -> Outcome {
    everywhere(subject, |place| {
        let mut live = subject.make(place)?;
        let batch = 8;
        // What is made once for a shape (a mask, a table) may stay.
        for mode in [Mode::Train, Mode::Eval, Mode::Train, Mode::Eval] {
            drop(live.run(&place.batch(batch)?, mode)?);
        }
        for mode in [Mode::Train, Mode::Eval] {
            let counter = MemoryCounter::start()?;
            let mut lent = 0;
            for _ in 0..5 {
                let x = place.batch(batch)?;
                lent = (x.numel() * x.kind().elt_size_in_bytes()) as i64;
                drop(live.run(&x, mode)?);
            }
            let kept = counter.read()?.live_bytes;
            // Counts that a tensor keeps of itself are smaller than any input.
            if kept >= lent {
                return broken(format!(
                    "{mode:?}: after five calls with inputs of {lent} bytes, {kept} bytes of tensors are still held"
                ));
            }
        }
        Ok(None)
    })
}
