//! How the layers of a thread add their statistics over all ranks.

use std::cell::RefCell;
use std::ffi::{c_char, c_int, c_void};
use tch::Tensor;
use torch_sys::C_tensor;

/// A function of the shim's type `SumFn`.
pub(crate) type SumFn = extern "C" fn(*mut c_void, *mut C_tensor, *mut c_char, usize) -> c_int;

/// A function of the shim's type `FusedBatchNorm`.
pub(crate) type BatchNormFn = unsafe extern "C" fn(
    *const C_tensor,
    *const C_tensor,
    *const C_tensor,
    *const C_tensor,
    *const C_tensor,
    f64,
    f64,
    bool,
    bool,
    Option<SumFn>,
    *mut c_void,
    *const C_tensor,
    *mut *mut C_tensor,
) -> c_int;

/// The setting of a scope.
#[derive(Debug)]
struct RankSums {
    sum: SumFn,
    /// First argument of the sum.
    context: *mut c_void,
    /// 1, or 0 if the batch of this rank is left out; 0-dimensional.
    present: Tensor,
}

thread_local! {
    /// The scopes of this thread, the innermost last.
    static SCOPES: RefCell<Vec<RankSums>> = const { RefCell::new(Vec::new()) };
}

/// Begins a scope of this thread.
///
/// # Shapes
/// `present`: 0-dimensional.
pub(super) fn enter(sum: SumFn, context: *mut c_void, present: Tensor) {
    SCOPES.with_borrow_mut(|scopes| scopes.push(RankSums { sum, context, present }));
}

/// Ends the innermost scope.
pub(super) fn leave() {
    SCOPES.with_borrow_mut(Vec::pop);
}

/// Calls a function with what a fused layer needs to add its statistics over all ranks: the sum, its first
/// argument, and the weight of this rank's batch. Outside of a scope all three are null.
pub(crate) fn with_rank_sums<T>(call: impl FnOnce(Option<SumFn>, *mut c_void, *const C_tensor) -> T) -> T {
    SCOPES.with_borrow(|scopes| match scopes.last() {
        None => call(None, std::ptr::null_mut(), std::ptr::null()),
        Some(RankSums { sum, context, present }) => call(Some(*sum), *context, present.as_ptr()),
    })
}
