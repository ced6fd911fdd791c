//! Gradient norms that stay on the device.

use crate::error::Result;
use crate::ffi;
use tch::Tensor;

/// The joint gradient norm of some parameters, not yet read by the host.
#[derive(Debug)]
pub struct GradNorm {
    /// 0-dim norm on the gradients' device; `None` when no parameter has a gradient.
    pub norm: Option<Tensor>,
    /// Elements of the parameters that have a gradient.
    pub elements: u64,
}

/// The L2 norm over all gradients of `parameters`, through one `_foreach_norm`, without a host sync.
///
/// # Shapes
/// Any; the norm is 0-dim.
///
/// # Errors
/// If the gradients lie on several devices or libtorch refuses them.
pub fn grad_norm<'a>(parameters: impl IntoIterator<Item = &'a Tensor>) -> Result<GradNorm> {
    let handles = ffi::handles(parameters);
    let mut out = std::ptr::null_mut();
    let mut elements = 0;
    // SAFETY: the handles are live for the call, `n` is their number, both outputs are valid places.
    ffi::check(unsafe {
        ffi::kte_grad_norm(handles.as_ptr(), handles.len(), &raw mut out, &raw mut elements)
    })?;
    // SAFETY: a non-null result is a fresh `at::Tensor*` that nobody else owns.
    let norm = (!out.is_null()).then(|| unsafe { Tensor::from_ptr(out) });
    Ok(GradNorm { norm, elements: elements.unsigned_abs() })
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
