//! Counting the bytes that tensors hold, so that "the memory is gone" can be a test.

use crate::error::Result;
use crate::ffi;
use std::ffi::c_void;
use std::marker::PhantomData;

/// Counts what libtorch's allocators hand out and take back on this thread while it lives, on every device.
///
/// Memory that was there before it started is not known to it: freeing such memory counts nothing.
#[derive(Debug)]
pub struct MemoryCounter {
    count: *mut c_void,
    /// The count belongs to the thread that started it.
    _thread: PhantomData<*const ()>,
}

/// What a [`MemoryCounter`] has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocated {
    /// Bytes handed out and not taken back.
    pub live_bytes: i64,
    /// How often memory was handed out.
    pub allocations: u64,
}

impl MemoryCounter {
    /// Starts counting on this thread. Counters nest; the innermost sees.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn start() -> Result<Self> {
        let mut count = std::ptr::null_mut();
        // SAFETY: the place is valid.
        ffi::check(unsafe { ffi::kte_memory_start(&raw mut count) })?;
        Ok(Self { count, _thread: PhantomData })
    }

    /// What it has seen until now.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn read(&self) -> Result<Allocated> {
        let (mut live_bytes, mut allocations) = (0, 0);
        // SAFETY: the count is live until `self` drops, and both places are valid.
        ffi::check(unsafe { ffi::kte_memory_read(self.count, &raw mut live_bytes, &raw mut allocations) })?;
        Ok(Allocated { live_bytes, allocations })
    }
}

impl Drop for MemoryCounter {
    fn drop(&mut self) {
        // SAFETY: made by `kte_memory_start`, on this thread (the type is not Send), and not used again.
        let _ = ffi::check(unsafe { ffi::kte_memory_stop(self.count) });
    }
}
