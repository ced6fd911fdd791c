//! torch's pending error: set by a failed call whose result nobody read.

use std::ffi::{CStr, c_char, c_void};

/// Takes it away, so that the next, innocent call does not trip over it.
#[inline]
pub(crate) fn take_torch_error() -> Option<String> {
    // SAFETY: the shim hands out its thread-local error once and forgets it.
    let pointer = unsafe { torch_sys::get_and_reset_last_err() };
    if pointer.is_null() { None } else { Some(read(pointer)) }
}

#[cold]
fn read(pointer: *mut c_char) -> String {
    unsafe extern "C" {
        fn free(pointer: *mut c_void);
    }
    // SAFETY: it is not null, NUL-terminated, was allocated with malloc, and nobody else has it.
    unsafe {
        let text = CStr::from_ptr(pointer).to_string_lossy().into_owned();
        free(pointer.cast());
        text
    }
}
