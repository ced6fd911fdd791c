//! Counting the operations that libtorch dispatches, so that tests can check that nothing runs.

use crate::error::Result;
use crate::ffi;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_void};
use std::marker::PhantomData;

/// Counter of the operators dispatched on this thread.
#[derive(Debug)]
pub struct OpCounter {
    handle: Option<u64>,
    /// Makes the type `!Send`: the count belongs to the thread that started it.
    _thread: PhantomData<*const ()>,
}

impl OpCounter {
    /// Starts counting on this thread.
    ///
    /// # Errors
    /// If a count already runs on this thread.
    pub fn start() -> Result<Self> {
        let mut handle = 0;
        // SAFETY: the output pointer is valid.
        ffi::check(unsafe { ffi::kte_ops_start(&raw mut handle) })?;
        Ok(Self { handle: Some(handle), _thread: PhantomData })
    }

    /// Stops counting and returns the number of calls of each operator by name. Operators called inside a
    /// fused optimizer call are listed under it: `aten::_fused_adamw_/<operator>`.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn finish(mut self) -> Result<BTreeMap<String, u64>> {
        let mut counts = BTreeMap::new();
        if let Some(handle) = self.handle.take() {
            stop(handle, &mut counts)?;
        }
        Ok(counts)
    }
}

impl Drop for OpCounter {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            let _ = stop(handle, &mut BTreeMap::new());
        }
    }
}

fn stop(handle: u64, counts: &mut BTreeMap<String, u64>) -> Result<()> {
    extern "C" fn each(context: *mut c_void, name: *const c_char, count: u64) {
        // SAFETY: `context` is the map passed below, borrowed for the call; `name` is NUL-terminated.
        let (counts, name) = unsafe { (&mut *context.cast::<BTreeMap<String, u64>>(), CStr::from_ptr(name)) };
        counts.insert(name.to_string_lossy().into_owned(), count);
    }
    let context: *mut BTreeMap<String, u64> = counts;
    // SAFETY: the callback matches the declaration and `context` outlives the call.
    ffi::check(unsafe { ffi::kte_ops_stop(handle, each, context.cast()) })
}
