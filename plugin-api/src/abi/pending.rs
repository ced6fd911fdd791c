//! torch's pending error: set by a failed call whose result nobody read.

use std::ffi::{CStr, c_void};

/// Takes it away, so that the next, innocent call does not trip over it.
pub(crate) fn take_torch_error() -> Option<String> {
    unsafe extern "C" {
        fn free(pointer: *mut c_void);
    }
    // SAFETY: the shim hands out its thread-local error once and forgets it; a non-null one is NUL-terminated
    // and was allocated with malloc.
    unsafe {
        let pointer = torch_sys::get_and_reset_last_err();
        if pointer.is_null() {
            return None;
        }
        let text = CStr::from_ptr(pointer).to_string_lossy().into_owned();
        free(pointer.cast());
        Some(text)
    }
}
