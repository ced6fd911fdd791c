//! Waiting for a disk at the end of a run.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long the end of a run waits for a disk that cannot be written.
const PATIENCE: Duration = Duration::from_mins(2);
/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// Decides whether the end of a run is written once more after an error.
pub(super) struct LastTry<'s> {
    begun: Instant,
    /// Whether the user wants the run to end.
    stop: &'s AtomicBool,
    told: Cell<bool>,
}

impl<'s> LastTry<'s> {
    pub(super) fn begin(stop: &'s AtomicBool) -> Self {
        Self { begun: Instant::now(), stop, told: Cell::new(false) }
    }

    /// Waits before another try; false if there is to be none.
    pub(super) fn waits(&self, why: &str) -> bool {
        if self.begun.elapsed() >= PATIENCE || self.stop.load(Ordering::Relaxed) {
            return false;
        }
        if !self.told.replace(true) {
            let seconds = PATIENCE.as_secs();
            tracing::warn!("the end of the run cannot be written; it is tried again for {seconds} s: {why}");
        }
        std::thread::sleep(PAUSE);
        true
    }
}
