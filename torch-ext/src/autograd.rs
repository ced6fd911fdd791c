//! Straight-through estimator without a kernel, version counters of tensors, and memory formats.

use crate::error::Result;
use crate::ffi;
use tch::Tensor;

/// Returns the straight-through estimator: the value of `host`; the output's gradient flows to both inputs.
///
/// Forward returns a view of `host`, so the value is bit-identical whatever `seed` contains, NaN included,
/// and nothing is copied. (`host + (seed - seed.detach())` costs two kernels and spreads a NaN of the seed
/// into the host's features.) Source: Bengio et al. 2013, arXiv:1308.3432.
///
/// # Shapes
/// `host`, `seed` and the output have the same shape (any) and dtype. The output has the device and memory
/// format of `host`.
///
/// # Errors
/// If shapes or dtypes differ.
pub fn straight_through(host: &Tensor, seed: &Tensor) -> Result<Tensor> {
    // SAFETY: both handles are live for the call; the result is a fresh tensor.
    ffi::new_tensor(|out| unsafe { ffi::kte_straight_through(host.as_ptr(), seed.as_ptr(), out) })
}

/// Returns the tensor's version counter, which increases with every in-place change, also through a detached
/// alias.
///
/// # Shapes
/// Any.
///
/// # Errors
/// If the tensor tracks no version (it was made in inference mode).
pub fn version(tensor: &Tensor) -> Result<u32> {
    let mut out = 0;
    // SAFETY: the handle is live for the call.
    ffi::check(unsafe { ffi::kte_version(tensor.as_ptr(), &raw mut out) })?;
    Ok(out)
}

/// Whether a tensor is 4-dimensional and stored in channels-last (NHWC) memory format.
///
/// # Shapes
/// Any; returns `false` unless `[N, C, H, W]`.
///
/// # Errors
/// If the tensor is undefined.
pub fn is_channels_last(tensor: &Tensor) -> Result<bool> {
    let mut out = false;
    // SAFETY: the handle is live for the call.
    ffi::check(unsafe { ffi::kte_is_channels_last(tensor.as_ptr(), &raw mut out) })?;
    Ok(out)
}

/// Returns the tensor in channels-last memory format. A tensor that already has it is returned without a
/// copy.
///
/// # Shapes
/// `tensor` and output: `[N, C, H, W]`.
///
/// # Errors
/// If the tensor does not have four dimensions.
pub fn to_channels_last(tensor: &Tensor) -> Result<Tensor> {
    // SAFETY: the handle is live for the call; the result is a fresh handle.
    ffi::new_tensor(|out| unsafe { ffi::kte_to_channels_last(tensor.as_ptr(), out) })
}
