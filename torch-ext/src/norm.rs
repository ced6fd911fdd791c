//! Gradient norms that stay on the device.

use crate::error::Result;
use crate::ffi;
use tch::Tensor;

/// The L2 norm over all gradients of `parameters`, through one `_foreach_norm`, without a host sync; `None`
/// when none of them has a gradient.
///
/// # Shapes
/// Any; the norm is 0-dim, on the gradients' device.
///
/// # Errors
/// If the gradients lie on several devices or libtorch refuses them.
pub fn grad_norm<'a>(parameters: impl IntoIterator<Item = &'a Tensor>) -> Result<Option<Tensor>> {
    let handles = ffi::handles(parameters);
    let mut out = std::ptr::null_mut();
    // SAFETY: the handles are live for the call, `n` is their number, the output is a valid place.
    ffi::check(unsafe { ffi::kte_grad_norm(handles.as_ptr(), handles.len(), &raw mut out) })?;
    // SAFETY: a non-null result is a fresh `at::Tensor*` that nobody else owns.
    Ok((!out.is_null()).then(|| unsafe { Tensor::from_ptr(out) }))
}

/// Drops the gradients of `parameters`.
///
/// # Errors
/// If libtorch refuses.
pub fn clear_gradients<'a>(parameters: impl IntoIterator<Item = &'a Tensor>) -> Result<()> {
    let handles = ffi::handles(parameters);
    // SAFETY: the handles are live for the call and counted.
    ffi::check(unsafe { ffi::kte_zero_grad(handles.as_ptr(), handles.len()) })
}
