//! Gradient norms without a transfer from the device.

use crate::error::Result;
use crate::ffi;
use tch::Tensor;

/// Returns the joint L2 norm of all gradients of `parameters`, computed by one `_foreach_norm` without a host
/// sync, or `None` if no parameter has a gradient.
///
/// # Shapes
/// `parameters`: any shapes; the norm: 0-dimensional, on the device of the gradients.
///
/// # Errors
/// If the gradients are on different devices, or libtorch refuses them.
pub fn grad_norm<'a>(parameters: impl IntoIterator<Item = &'a Tensor>) -> Result<Option<Tensor>> {
    let handles = ffi::handles(parameters);
    let mut out = std::ptr::null_mut();
    // SAFETY: the handles are live for the call, `n` is their number, the output pointer is valid.
    ffi::check(unsafe { ffi::kte_grad_norm(handles.as_ptr(), handles.len(), &raw mut out) })?;
    // SAFETY: a non-null result is a fresh `at::Tensor*` that nobody else owns.
    Ok((!out.is_null()).then(|| unsafe { Tensor::from_ptr(out) }))
}

/// Sets the gradients of `parameters` to undefined.
///
/// # Shapes
/// Any.
///
/// # Errors
/// If libtorch refuses.
pub fn clear_gradients<'a>(parameters: impl IntoIterator<Item = &'a Tensor>) -> Result<()> {
    let handles = ffi::handles(parameters);
    // SAFETY: the handles are live for the call and counted.
    ffi::check(unsafe { ffi::kte_zero_grad(handles.as_ptr(), handles.len()) })
}
