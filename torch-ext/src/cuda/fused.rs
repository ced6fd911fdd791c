//! Layers whose features are read and written once instead of once an operation.
//!
//! Each answers with `None` where it does not serve its inputs: anything but channels-last float32 or
//! bfloat16 features on a GPU, channels that are no multiple of 4, or a machine on which the kernels cannot
//! be compiled. The caller then composes the layer out of libtorch's operations, with the same result within
//! rounding.
//!
//! Gradients are exact and sums have a fixed order, so the same input gives the same bits. There are no
//! second derivatives.

use super::index;
use super::library::{Symbols, library};
use crate::error::Result;
use std::ffi::c_int;
use tch::{Device, Tensor};
use torch_sys::C_tensor;

/// Batch normalisation with batch statistics.
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm<'a> {
    /// `[C]`, float32.
    pub weight: &'a Tensor,
    /// `[C]`, float32.
    pub bias: &'a Tensor,
    /// `[C]`, float32; moved by `momentum`.
    pub running_mean: &'a Tensor,
    /// `[C]`, float32; moved by `momentum`.
    pub running_var: &'a Tensor,
    /// Number that is added to the variance.
    pub eps: f64,
    /// Weight of the new statistics.
    pub momentum: f64,
}

/// Compiles the kernels for a device ahead of their first use.
///
/// # Errors
/// Why there are none: then every layer answers with `None`, and everything runs composed.
pub fn prepare(device: Device, bf16: bool) -> Result<()> {
    let library = library()?;
    // SAFETY: no pointers are passed.
    library.check(unsafe { (library.fused_prepare)(index(device)?, bf16) })
}

/// Calls one of the library's layers on features that lie on a GPU.
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

/// `max_pool2d(relu(batch_norm(x)), 2)`, or without the pool.
///
/// # Shapes
/// `x`: `[N, C, H, W]`, `H` and `W` even where it pools; out: `[N, C, H / 2, W / 2]`, or like `x`.
pub fn batch_norm_relu(x: &Tensor, norm: &BatchNorm<'_>, pool: bool) -> Option<Result<Tensor>> {
    layer(x, |library, out| {
        // SAFETY: all handles are live for the call.
        unsafe {
            (library.fused_batch_norm_relu)(
                x.as_ptr(),
                norm.weight.as_ptr(),
                norm.bias.as_ptr(),
                norm.running_mean.as_ptr(),
                norm.running_var.as_ptr(),
                norm.eps,
                norm.momentum,
                pool,
                out,
            )
        }
    })
}

/// Arguments of a group normalisation.
#[derive(Debug, Clone, Copy)]
pub struct GroupNorm<'a> {
    /// Groups; the channels of each are a multiple of 4.
    pub groups: i64,
    /// `[C]`, float32.
    pub weight: &'a Tensor,
    /// `[C]`, float32.
    pub bias: &'a Tensor,
    /// Number that is added to the variance.
    pub eps: f64,
}

/// `x + gain * relu(group_norm(branch))`.
///
/// # Shapes
/// `x` and `branch`: `[N, C, H, W]`; `gain`: `C` numbers of any shape; out: like `x`.
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

/// `linear(mean(x, [2, 3]))`, the head of a convolutional network. Sums and outputs are float32.
///
/// # Shapes
/// `x`: `[N, C, H, W]`; `weight`: `[K, C]`, `bias`: `[K]`, float32; out: `[N, K]`, float32.
pub fn mean_linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Option<Result<Tensor>> {
    layer(x, |library, out| {
        // SAFETY: all handles are live for the call.
        unsafe { (library.fused_mean_linear)(x.as_ptr(), weight.as_ptr(), bias.as_ptr(), out) }
    })
}

/// `host + alpha (seed - host)` with one float32 alpha, which takes no gradient.
///
/// # Shapes
/// `host` and `seed` alike, any shape, lying alike in memory; `alpha`: 0-dim.
pub fn lerp(host: &Tensor, seed: &Tensor, alpha: &Tensor) -> Option<Result<Tensor>> {
    layer(host, |library, out| {
        // SAFETY: all handles are live for the call.
        unsafe { (library.fused_lerp)(host.as_ptr(), seed.as_ptr(), alpha.as_ptr(), out) }
    })
}
