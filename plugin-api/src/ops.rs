//! Layers for authors of plugins.
//!
//! Some avoid pitfalls of torch. Others run as one fused kernel on a GPU, which reads and writes the features
//! only once. Without such a kernel (on the CPU, or in a plugin's own tests) the layer is composed of torch
//! operations; the results differ by rounding.

use crate::{PluginError, Result, services};
use tch::{Device, Kind, Tensor};

/// Group normalization that also works on the input of an isolated seed.
///
/// libtorch's backward of `group_norm` on the CPU crashes the process if the input is channels-last and does
/// not require a gradient. An isolated seed on a channels-last host has such an input. In this case the input
/// is copied to a row-major layout first; in all others this is torch's `group_norm`.
///
/// # Shapes
/// `x` is `[N, C, ...]` with `C` divisible by `groups`; `weight` and `bias` are `[C]`; the output is like
/// `x`.
///
/// # Errors
/// If the shapes do not match.
pub fn group_norm(x: &Tensor, groups: i64, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let may_crash = x.device() == Device::Cpu && !x.requires_grad();
    let packed = if may_crash { &row_major(x)? } else { x };
    Ok(packed.f_group_norm(groups, Some(weight), Some(bias), NORM_EPS, false)?)
}

/// Returns the same features with row-major strides.
///
/// A contiguous tensor may still have other strides: with one channel, or a 1x1 map, the same memory is both
/// row-major and channels-last, and libtorch decides by the strides.
fn row_major(x: &Tensor) -> Result<Tensor> {
    let size = x.size();
    let mut strides = vec![1; size.len()];
    for i in (1..size.len()).rev() {
        strides[i - 1] = strides[i] * size[i].max(1);
    }
    if x.stride() == strides {
        return Ok(x.shallow_clone());
    }
    if x.is_contiguous() {
        return Ok(x.f_as_strided(&size, &strides, None)?);
    }
    Ok(x.f_contiguous()?)
}

const NORM_EPS: f64 = 1e-5;

/// Returns `x + gain * relu(group_norm(branch))`, the end of a residual branch. It is the identity while
/// `gain` is 0.
///
/// # Shapes
/// `x` and `branch` are `[N, C, H, W]` with `C` divisible by `groups`; `weight` and `bias` are `[C]`, `gain`
/// is `[1, C, 1, 1]`; the output is like `x`.
///
/// # Errors
/// If the shapes do not match.
pub fn norm_residual(
    x: &Tensor,
    branch: &Tensor,
    groups: i64,
    (weight, bias): (&Tensor, &Tensor),
    gain: &Tensor,
) -> Result<Tensor> {
    let tensors = [x, branch, weight, bias, gain];
    if let Some(out) = fused("norm_residual", &tensors, &[groups as f64, NORM_EPS]) {
        return out;
    }
    let branch = group_norm(branch, groups, weight, bias)?.f_relu()?;
    Ok(x.f_addcmul(&branch, gain)?)
}

/// Parameters, statistics and constants of a batch normalization.
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm<'a> {
    /// Scale, `[C]`.
    pub weight: &'a Tensor,
    /// Offset, `[C]`.
    pub bias: &'a Tensor,
    /// Running mean, `[C]`; updated in training.
    pub running_mean: &'a Tensor,
    /// Running variance, `[C]`; updated in training.
    pub running_var: &'a Tensor,
    /// Number added to the variance; torch's default is 1e-5.
    pub eps: f64,
    /// Weight of a batch in the running statistics; torch's default is 0.1.
    pub momentum: f64,
}

/// Returns `relu(batch_norm(x))`, followed by a 2x2 max pooling if `pool` is set.
///
/// # Shapes
/// `x` is `[N, C, H, W]`; the output is like `x`, or `[N, C, H / 2, W / 2]`, rounded down, with `pool`.
///
/// # Errors
/// If the shapes do not match.
pub fn batch_norm_relu(x: &Tensor, norm: &BatchNorm<'_>, train: bool, pool: bool) -> Result<Tensor> {
    let tensors = [x, norm.weight, norm.bias, norm.running_mean, norm.running_var];
    if train
        && let Some(out) =
            fused("batch_norm_relu", &tensors, &[norm.eps, norm.momentum, f64::from(u8::from(pool))])
    {
        return out;
    }
    let (weight, bias) = (Some(norm.weight), Some(norm.bias));
    let (mean, var) = (Some(norm.running_mean), Some(norm.running_var));
    let x = x.f_batch_norm(weight, bias, mean, var, train, norm.momentum, norm.eps, true)?;
    // Pooling before the ReLU leaves it a quarter of the elements. Both orders give the same values and
    // gradients.
    let x = if pool { x.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)? } else { x };
    Ok(x.f_relu()?)
}

/// Returns `linear(mean(x, [2, 3]), weight, bias)`, which is global average pooling and a linear layer: the
/// head of a convolutional network.
///
/// # Shapes
/// `x` is `[N, C, H, W]`, `weight` `[K, C]`, `bias` `[K]`; the output is `[N, K]`.
///
/// # Errors
/// If the shapes do not match.
pub fn mean_linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if let Some(out) = fused("mean_linear", &[x, weight, bias], &[]) {
        return out;
    }
    let pooled = x.f_mean_dim([2, 3].as_slice(), false, None)?;
    Ok(pooled.f_linear(weight, Some(bias))?)
}

/// Returns `host + alpha (seed - host)`. Half-precision features are mixed in float32 if `alpha` is float32;
/// the output has the dtype of `host`.
///
/// # Shapes
/// `host` and `seed` have the same shape; `alpha` is 0-dim or broadcasts to it; the output is like `host`.
///
/// # Errors
/// If the shapes do not match.
pub fn lerp(host: &Tensor, seed: &Tensor, alpha: &Tensor) -> Result<Tensor> {
    if alpha.dim() == 0
        && let Some(out) = fused("lerp", &[host, seed, alpha], &[])
    {
        return out;
    }
    let (kind, precise) = (host.kind(), alpha.kind());
    if kind == precise {
        return Ok(host.f_lerp_tensor(seed, alpha)?);
    }
    if precise == Kind::Double {
        return Ok(host.f_lerp_tensor(seed, &alpha.f_to_kind(kind)?)?);
    }
    let mixed = host.f_to_kind(precise)?.f_lerp_tensor(&seed.f_to_kind(precise)?, alpha)?;
    Ok(mixed.f_to_kind(kind)?)
}

/// Runs a layer as one kernel of the host process, if it has one. The CPU has none.
fn fused(layer: &str, tensors: &[&Tensor], numbers: &[f64]) -> Option<Result<Tensor>> {
    let on_gpu = tensors.first().is_some_and(|x| x.device().is_cuda());
    if on_gpu { services::fused(layer, tensors, numbers) } else { None }
}

/// Returns a number of groups for the group normalization of `channels` channels.
///
/// This is the largest of 32, 16, 8, 4 and 2 that divides `channels` and leaves at least 16 channels per
/// group, otherwise 1. With one channel per group a 1x1 map would become constant, and no gradient would
/// pass.
///
/// ```
/// use kasmina_plugin_api::ops::norm_groups;
/// assert_eq!([3, 8, 48, 64, 384].map(norm_groups), [1, 1, 2, 4, 16]);
/// ```
pub fn norm_groups(channels: i64) -> i64 {
    [32, 16, 8, 4, 2].into_iter().find(|g| channels % g == 0 && channels / g >= 16).unwrap_or(1)
}

/// Returns the same values in channels-last memory format, without a copy if `x` has that format already.
///
/// # Shapes
/// `[N, C, H, W]` to the same shape.
///
/// # Errors
/// If `x` does not have four dimensions.
pub fn channels_last(x: &Tensor) -> Result<Tensor> {
    let (size, stride) = (x.size(), x.stride());
    let [_, channels, height, width] = size[..] else {
        return Err(PluginError::contract(format!("channels-last needs [N, C, H, W], not {size:?}")));
    };
    let wanted = [height * width * channels, 1, width * channels, channels];
    if stride == wanted {
        return Ok(x.shallow_clone());
    }
    if channels == 1 && x.is_contiguous() {
        // With one channel both formats have the same memory; torch distinguishes them by the strides.
        return Ok(x.f_as_strided(&size, wanted, None)?);
    }
    Ok(x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?)
}
