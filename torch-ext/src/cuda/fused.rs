//! Fused layers, which read and write their features once instead of once per operation.
//!
//! Each function returns `None` if it does not support its inputs: features other than channels-last float32
//! or bfloat16 on a GPU, a number of channels that is not a multiple of 4, or a machine on which the kernels
//! cannot be compiled. The caller then composes the layer of libtorch's operations, with the same result up
//! to rounding.
//!
//! Gradients are exact. Sums have a fixed order, so the same input gives the same bits. Second derivatives
//! are not supported.

use super::index;
use super::library::{Symbols, library};
use crate::error::Result;
use crate::ranks::{BatchNormFn, with_rank_sums};
use std::ffi::c_int;
use tch::{Device, Tensor};
use torch_sys::C_tensor;

/// Arguments of a batch normalisation with batch statistics.
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm<'a> {
    /// `[C]`, float32.
    pub weight: &'a Tensor,
    /// `[C]`, float32.
    pub bias: &'a Tensor,
    /// `[C]`, float32; updated in place with `momentum`.
    pub running_mean: &'a Tensor,
    /// `[C]`, float32; updated in place with `momentum`.
    pub running_var: &'a Tensor,
    /// Number that is added to the variance.
    pub eps: f64,
    /// Weight of the batch statistics in the update of the running statistics.
    pub momentum: f64,
}

/// Compiles the kernels for a device before their first use.
///
/// # Errors
/// If the kernels cannot be compiled or loaded. Then every fused layer returns `None`.
pub fn prepare(device: Device, bf16: bool) -> Result<()> {
    let library = library()?;
    // SAFETY: no pointers are passed.
    library.check(unsafe { (library.fused_prepare)(index(device)?, bf16) })
}

/// Returns the function of the shim's type `FusedBatchNorm`, for the batch normalisation of several ranks;
/// `None` without a GPU library.
pub(crate) fn batch_norm_function() -> Option<BatchNormFn> {
    library().ok().map(|library| library.fused_batch_norm)
}

/// Calls a layer of the library if `x` is on a GPU.
fn layer(x: &Tensor, call: impl FnOnce(&Symbols, *mut *mut C_tensor) -> c_int) -> Option<Result<Tensor>> {
    if !x.device().is_cuda() {
        return None;
    }
    let library = library().ok()?;
    let mut out = std::ptr::null_mut();
    match library.check(call(library, &raw mut out)) {
        Err(error) => Some(Err(error)),
        // SAFETY: a non-null result is a fresh `at::Tensor*` that nobody else owns.
        Ok(()) => (!out.is_null()).then(|| Ok(unsafe { Tensor::from_ptr(out) })),
    }
}

/// Returns `max_pool2d(relu(batch_norm(x)), 2)`, or `relu(batch_norm(x))` without `pool`; `None` if the
/// inputs are not supported. Inside a [`SyncBatchNorm`](crate::ranks::SyncBatchNorm) the statistics are those
/// of all ranks.
///
/// # Errors
/// If a kernel cannot be launched.
///
/// # Shapes
/// `x`: `[N, C, H, W]`, with even `H` and `W` if `pool`; output: `[N, C, H / 2, W / 2]` if `pool`, otherwise
/// `[N, C, H, W]`.
pub fn batch_norm_relu(x: &Tensor, norm: &BatchNorm<'_>, pool: bool) -> Option<Result<Tensor>> {
    layer(x, |library, out| {
        with_rank_sums(|sum, context, present| {
            // SAFETY: all handles are live for the call; the scope that set `context` outlives the backward.
            unsafe {
                (library.fused_batch_norm)(
                    x.as_ptr(),
                    norm.weight.as_ptr(),
                    norm.bias.as_ptr(),
                    norm.running_mean.as_ptr(),
                    norm.running_var.as_ptr(),
                    norm.eps,
                    norm.momentum,
                    true,
                    pool,
                    sum,
                    context,
                    present,
                    out,
                )
            }
        })
    })
}

/// Arguments of a group normalisation.
#[derive(Debug, Clone, Copy)]
pub struct GroupNorm<'a> {
    /// Number of groups; each has a multiple of 4 channels.
    pub groups: i64,
    /// `[C]`, float32.
    pub weight: &'a Tensor,
    /// `[C]`, float32.
    pub bias: &'a Tensor,
    /// Number that is added to the variance.
    pub eps: f64,
}

/// Returns `x + gain * relu(group_norm(branch))`; `None` if the inputs are not supported.
///
/// # Errors
/// If a kernel cannot be launched.
///
/// # Shapes
/// `x`, `branch` and output: `[N, C, H, W]`; `gain`: any shape with `C` elements.
pub fn norm_residual(
    x: &Tensor,
    branch: &Tensor,
    norm: &GroupNorm<'_>,
    gain: &Tensor,
) -> Option<Result<Tensor>> {
    layer(x, |library, out| {
        // SAFETY: all handles are live for the call.
        unsafe {
            (library.fused_norm_residual)(
                x.as_ptr(),
                branch.as_ptr(),
                norm.weight.as_ptr(),
                norm.bias.as_ptr(),
                gain.as_ptr(),
                norm.groups,
                norm.eps,
                out,
            )
        }
    })
}

/// Returns `linear(mean(x, [2, 3]))`, the head of a convolutional network; `None` if the inputs are not
/// supported. Sums and output are float32.
///
/// # Errors
/// If a kernel cannot be launched.
///
/// # Shapes
/// `x`: `[N, C, H, W]`; `weight`: `[K, C]`, float32; `bias`: `[K]`, float32; output: `[N, K]`, float32.
pub fn mean_linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Option<Result<Tensor>> {
    layer(x, |library, out| {
        // SAFETY: all handles are live for the call.
        unsafe { (library.fused_mean_linear)(x.as_ptr(), weight.as_ptr(), bias.as_ptr(), out) }
    })
}

/// Returns `host + alpha * (seed - host)` with one float32 `alpha` that does not require a gradient; `None`
/// if the inputs are not supported.
///
/// # Errors
/// If a kernel cannot be launched.
///
/// # Shapes
/// `host`, `seed` and output: the same shape (any) and strides; `alpha`: `[]`.
pub fn lerp(host: &Tensor, seed: &Tensor, alpha: &Tensor) -> Option<Result<Tensor>> {
    layer(host, |library, out| {
        // SAFETY: all handles are live for the call.
        unsafe { (library.fused_lerp)(host.as_ptr(), seed.as_ptr(), alpha.as_ptr(), out) }
    })
}
