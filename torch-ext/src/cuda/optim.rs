//! The step of all groups of an optimizer in two or three kernels. (torch's multi-tensor kernels process
//! 65536 elements in each block, so a small group is a single block and most of the GPU is idle.)

use super::library::library;
use crate::error::Result;
use crate::optim::config::Algorithm;
use std::ffi::c_void;
use torch_sys::C_tensor;

/// Steps every group and sets the gradients to undefined. Returns `None`, having done nothing, if these
/// kernels do not support the groups.
///
/// # Safety
/// `groups` must be live groups of the shim, and `rates` their live rate tensors, in the same order.
pub(crate) unsafe fn step(
    groups: &[*mut c_void],
    rates: &[*const C_tensor],
    algorithm: &Algorithm,
) -> Option<Result<()>> {
    let library = library().ok()?;
    let mut served = false;
    let (n, out) = (groups.len().min(rates.len()), &raw mut served);
    let (adamw, a, b, decay, eps, nesterov) = match algorithm {
        Algorithm::Sgd(sgd) => (false, sgd.momentum, 0.0, sgd.weight_decay, 0.0, sgd.nesterov),
        Algorithm::AdamW(adam) => (true, adam.beta1, adam.beta2, adam.weight_decay, adam.eps, false),
    };
    let (groups, rates) = (groups.as_ptr(), rates.as_ptr());
    // SAFETY: promised by the caller; `out` is a valid pointer.
    let code = unsafe { (library.optimizer_step)(groups, rates, n, adamw, a, b, decay, eps, nesterov, out) };
    match library.check(code) {
        Err(error) => Some(Err(error)),
        Ok(()) => served.then_some(Ok(())),
    }
}
