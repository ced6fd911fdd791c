//! Straight-through without a kernel, version counters, and memory formats.

use crate::error::Result;
use crate::ffi;
use tch::Tensor;

/// The straight-through estimator: the value of `host`, the gradient of the output to both inputs.
///
/// Forward is a view of `host`, so its value is bit-identical whatever `seed` holds, NaN included, and no
/// element is moved. (`host + (seed - seed.detach())` costs two kernels and turns one NaN of the seed into a
/// NaN of the host.) Source: Bengio et al. 2013, arXiv:1308.3432.
///
/// # Shapes
/// `host` and `seed` have the same shape and dtype; the output too, on the host's device and memory format.
///
/// # Errors
/// If shapes or dtypes differ.
pub fn straight_through(host: &Tensor, seed: &Tensor) -> Result<Tensor> {
    // SAFETY: both handles are live for the call; the result is a fresh tensor.
    ffi::new_tensor(|out| unsafe { ffi::kte_straight_through(host.as_ptr(), seed.as_ptr(), out) })
}

/// The tensor's version counter: it grows with every change in place, also through a detached alias.
///
/// # Errors
/// For tensors that track no version (made under inference mode).
pub fn version(tensor: &Tensor) -> Result<u32> {
    let mut out = 0;
    // SAFETY: the handle is live for the call.
    ffi::check(unsafe { ffi::kte_version(tensor.as_ptr(), &raw mut out) })?;
    Ok(out)
}

/// Whether a 4-dimensional tensor `[N, C, H, W]` lies as NHWC in memory.
///
/// # Errors
/// If the tensor is undefined.
pub fn is_channels_last(tensor: &Tensor) -> Result<bool> {
    let mut out = false;
    // SAFETY: the handle is live for the call.
    ffi::check(unsafe { ffi::kte_is_channels_last(tensor.as_ptr(), &raw mut out) })?;
    Ok(out)
}

/// The tensor in channels-last memory format; the same tensor back where it already is.
///
/// # Shapes
/// `[N, C, H, W]` to the same shape.
///
/// # Errors
/// If the tensor has not four dimensions.
pub fn to_channels_last(tensor: &Tensor) -> Result<Tensor> {
    // SAFETY: the handle is live for the call; the result is a fresh handle.
    ffi::new_tensor(|out| unsafe { ffi::kte_to_channels_last(tensor.as_ptr(), out) })
}
