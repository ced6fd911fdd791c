//! The pending error of torch-sys, which a failed call sets and which stays until it is read.

use std::ffi::{CStr, c_char, c_void};

/// Returns and clears the pending error, so that the next call does not report it.
#[inline]
pub(crate) fn take_torch_error() -> Option<String> {
    // SAFETY: torch-sys returns its thread-local error once and clears it.
    let pointer = unsafe { torch_sys::get_and_reset_last_err() };
    if pointer.is_null() { None } else { Some(read(pointer)) }
}

#[cold]
fn read(pointer: *mut c_char) -> String {
    unsafe extern "C" {
        fn free(pointer: *mut c_void);
    }
    // SAFETY: the pointer is not null, and its text is NUL-terminated, allocated by malloc and owned here.
    unsafe {
        let text = CStr::from_ptr(pointer).to_string_lossy().into_owned();
        free(pointer.cast());
        text
    }
}
