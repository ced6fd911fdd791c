//! Calling a Rust function from libtorch in the middle of a forward.

use crate::error::{Error, Result};
use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use tch::Tensor;
use torch_sys::C_tensor;

/// Why a forward pass failed.
#[derive(Debug)]
pub enum Failed<E> {
    /// The module or libtorch failed.
    Torch(Error),
    /// A tap failed; contains its error.
    Tap(E),
}

/// The tap of a running forward, and how it failed.
pub(crate) struct ActiveTap<'a, E> {
    tap: &'a mut dyn FnMut(usize, Tensor) -> std::result::Result<Tensor, E>,
    failed: Option<TapFailure<E>>,
}

impl<'a, E> ActiveTap<'a, E> {
    pub(crate) fn new(tap: &'a mut dyn FnMut(usize, Tensor) -> std::result::Result<Tensor, E>) -> Self {
        Self { tap, failed: None }
    }

    /// Returns the result of the call that ran the tap, or how the tap failed.
    ///
    /// # Panics
    /// If the tap has panicked.
    pub(crate) fn finish<T>(self, result: Result<T>) -> std::result::Result<T, Failed<E>> {
        match self.failed {
            Some(TapFailure::Error(error)) => Err(Failed::Tap(error)),
            Some(TapFailure::Panic(payload)) => resume_unwind(payload),
            None => result.map_err(|error| Failed::Torch(without_source_trace(error))),
        }
    }
}

enum TapFailure<E> {
    Error(E),
    Panic(Box<dyn Any + Send>),
}

/// Calls the tap of `context` with index `slot`. Returns null to end the forward if the tap fails. A panic is
/// caught, because it must not unwind through C++.
pub(crate) extern "C" fn call_tap<E>(
    context: *mut c_void,
    slot: i64,
    features: *mut C_tensor,
) -> *mut C_tensor {
    // SAFETY: `context` is what `forward` passed, and `forward` waits for this call; `features` is a fresh
    // handle whose ownership is passed to this function.
    let (active, features) =
        unsafe { (&mut *context.cast::<ActiveTap<'_, E>>(), Tensor::from_ptr(features)) };
    // Only a module whose own code calls the tap operator can pass a negative number. It becomes an index
    // that no tap has.
    let slot = usize::try_from(slot).unwrap_or(usize::MAX);
    match catch_unwind(AssertUnwindSafe(|| (active.tap)(slot, features))) {
        Ok(Ok(output)) => {
            let mut output = std::mem::ManuallyDrop::new(output);
            output.as_mut_ptr()
        }
        Ok(Err(error)) => {
            active.failed = Some(TapFailure::Error(error));
            std::ptr::null_mut()
        }
        Err(payload) => {
            active.failed = Some(TapFailure::Panic(payload));
            std::ptr::null_mut()
        }
    }
}

/// Removes the trace of the module's source from an interpreter's error. The interpreter writes the trace
/// first and what happened last.
pub(crate) fn without_source_trace(error: Error) -> Error {
    const ENDS: [&str; 2] = ["\nRuntimeError: ", "\nbuiltins."];
    let Error::Torch(text) = &error else { return error };
    let end = ENDS.iter().filter_map(|end| text.rfind(end).map(|at| at + end.len())).max();
    Error::Torch(text[end.unwrap_or(0)..].split_whitespace().collect::<Vec<_>>().join(" "))
}
