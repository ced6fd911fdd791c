//! Who is at work: a call into a plugin that never comes back cannot be ended, but it can be named.
//!
//! Entering and leaving a call are two stores without order; whoever wonders looks from another thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Nobody: the core itself is at work.
const NOBODY: u32 = 0;
/// Code of the host network.
pub(crate) const HOST: u32 = 1;

/// What a model's thread is in, for other threads to see.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Calls entered and left so far, above; whose call is being made, below.
    now: AtomicU64,
    names: Mutex<BTreeMap<u32, String>>,
}

/// Where a model's thread was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    now: u64,
    /// Whose call it is in; none where it is in none.
    pub call: Option<String>,
}

impl Beat {
    /// Whether nothing has moved from one moment to the other, within one call.
    pub fn stands_still(&self, later: &Self) -> bool {
        self.call.is_some() && self.now == later.now
    }
}

impl Pulse {
    /// The number of a part of a slot.
    pub(crate) fn code(slot: usize, blend: bool) -> u32 {
        2 + 2 * slot as u32 + u32::from(blend)
    }

    /// Goes into a call, and answers with whose call it leaves for that.
    pub(crate) fn enter(&self, code: u32) -> u32 {
        let now = self.now.load(Ordering::Relaxed);
        self.now.store((((now >> 32) + 1) << 32) | u64::from(code), Ordering::Relaxed);
        now as u32
    }

    /// Who is who, from now on.
    pub(crate) fn rename(&self, names: BTreeMap<u32, String>) {
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// Where the thread is now. For another thread, now and then.
    pub fn beat(&self) -> Beat {
        let now = self.now.load(Ordering::Relaxed);
        let code = now as u32;
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let call =
            (code != NOBODY).then(|| names.get(&code).cloned().unwrap_or_else(|| "a plugin".to_owned()));
        Beat { now, call }
    }
}
