//! Retrying failed writes at the end of a run.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Time for which failed writes are tried again.
const RETRY_FOR: Duration = Duration::from_mins(2);
/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// Decides whether a failed write at the end of a run is tried again.
pub(super) struct LastTry<'s> {
    begun: Instant,
    /// Set when the user ends the run; then nothing is tried again.
    stop: &'s AtomicBool,
    /// Whether a warning was logged.
    warned: Cell<bool>,
}

impl<'s> LastTry<'s> {
    pub(super) fn begin(stop: &'s AtomicBool) -> Self {
        Self { begun: Instant::now(), stop, warned: Cell::new(false) }
    }

    /// Waits before another attempt. Returns false if there should be none.
    pub(super) fn wait(&self, why: &str) -> bool {
        if self.begun.elapsed() >= RETRY_FOR || self.stop.load(Ordering::Relaxed) {
            return false;
        }
        if !self.warned.replace(true) {
            let seconds = RETRY_FOR.as_secs();
            tracing::warn!("the end of the run cannot be written; trying again for {seconds} s: {why}");
        }
        std::thread::sleep(PAUSE);
        true
    }
}
