//! Counting the bytes allocated by tensors, so that tests can check that memory was freed.

use crate::error::Result;
use crate::ffi;
use std::ffi::c_void;
use std::marker::PhantomData;

/// Counter of what libtorch's allocators allocate and free on this thread, on every device.
///
/// Freeing memory that was allocated before the counter started is not counted.
#[derive(Debug)]
pub struct MemoryCounter {
    count: *mut c_void,
    /// Makes the type `!Send`: the count belongs to the thread that started it.
    _thread: PhantomData<*const ()>,
}

/// Reading of a [`MemoryCounter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocated {
    /// Bytes allocated and not freed.
    pub live_bytes: i64,
    /// Number of allocations.
    pub allocations: u64,
}

impl MemoryCounter {
    /// Starts counting on this thread. Counters nest; only the innermost counts.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn start() -> Result<Self> {
        let mut count = std::ptr::null_mut();
        // SAFETY: the output pointer is valid.
        ffi::check(unsafe { ffi::kte_memory_start(&raw mut count) })?;
        Ok(Self { count, _thread: PhantomData })
    }

    /// Returns what was allocated since the counter started.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn read(&self) -> Result<Allocated> {
        let (mut live_bytes, mut allocations) = (0, 0);
        // SAFETY: the count is live until `self` drops, and both output pointers are valid.
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
