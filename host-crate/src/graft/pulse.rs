//! Which plugin call a model is in, readable from other threads.
//!
//! A plugin call that never returns cannot be ended, but a watchdog thread can name it. Entering and leaving
//! a call are one relaxed atomic store each.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Code for no plugin call: the core itself is running.
const NO_CALL: u32 = 0;
/// Code of the host network.
pub(crate) const HOST: u32 = 1;

/// The plugin call that a model's thread is in, for other threads to read.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Upper 32 bits: number of calls entered and left so far. Lower 32 bits: code of the present call.
    now: AtomicU64,
    /// Names of the calls, by code.
    names: Mutex<BTreeMap<u32, String>>,
}

/// A reading of [`Pulse`]: the plugin call that a model's thread was in at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    now: u64,
    /// Name of the plugin call; `None` outside of one.
    pub call: Option<String>,
}

impl Beat {
    /// Whether the thread was in the same plugin call at both moments, without leaving it in between.
    pub fn stands_still(&self, later: &Self) -> bool {
        self.call.is_some() && self.now == later.now
    }
}

impl Pulse {
    /// Returns the code of the seed or the blend of a slot.
    pub(crate) fn code(slot: usize, blend: bool) -> u32 {
        2 + 2 * slot as u32 + u32::from(blend)
    }

    /// Enters a call; returns the code of the call that it interrupts, to be entered again afterwards.
    pub(crate) fn enter(&self, code: u32) -> u32 {
        let now = self.now.load(Ordering::Relaxed);
        self.now.store((((now >> 32) + 1) << 32) | u64::from(code), Ordering::Relaxed);
        now as u32
    }

    /// Replaces the names of the calls.
    pub(crate) fn set_names(&self, names: BTreeMap<u32, String>) {
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// Reads the present call. Takes a lock, so it is for other threads and occasional use.
    pub fn beat(&self) -> Beat {
        let now = self.now.load(Ordering::Relaxed);
        let code = now as u32;
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let call =
            (code != NO_CALL).then(|| names.get(&code).cloned().unwrap_or_else(|| "a plugin".to_owned()));
        Beat { now, call }
    }
}
