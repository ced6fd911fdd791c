//! Layers that authors need and that must be called with care, or that the host process can run faster than
//! their parts: on a GPU, what lies between two convolutions is a question of how often the features are read
//! and written, and one kernel reads them once. Where there is no such kernel (on the CPU, in an author's own
//! tests), the layer is composed out of torch's operations; the results differ by rounding.

use crate::{PluginError, Result, services};
use tch::{Device, Kind, Tensor};

/// Group normalisation that survives an isolated input.
///
/// libtorch's CPU backward of `group_norm` crashes the process when its input lies channels-last and does not
/// require a gradient: exactly the features that an isolated seed sees on a channels-last host. Only then the
/// input is repacked; everywhere else this is `group_norm` itself.
///
/// # Shapes
/// `x` is `[N, C, ..]` with `C` divisible by `groups`; `weight` and `bias` are `[C]`; the output is like `x`.
///
/// # Errors
/// If shapes do not fit.
pub fn group_norm(x: &Tensor, groups: i64, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let exposed = x.device() == Device::Cpu && !x.requires_grad();
    let packed = if exposed { &row_major(x)? } else { x };
    Ok(packed.f_group_norm(groups, Some(weight), Some(bias), NORM_EPS, false)?)
}

/// The same features with row-major strides. Being contiguous is not enough: with one channel, or a 1x1 map,
/// the same memory is both row-major and channels-last, and it is the strides that libtorch goes by.
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

/// `x + gain * relu(group_norm(branch))`: the end of a residual branch that is the identity while `gain` is
/// 0.
///
/// # Shapes
/// `x` and `branch` are `[N, C, H, W]` with `C` divisible by `groups`; `weight` and `bias` are `[C]`, `gain`
/// is `[1, C, 1, 1]`; the output is like `x`.
///
/// # Errors
/// If shapes do not fit.
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

/// The parameters, statistics and constants of a batch normalisation.
#[derive(Debug, Clone, Copy)]
pub struct BatchNorm<'a> {
    /// `[C]`.
    pub weight: &'a Tensor,
    /// `[C]`.
    pub bias: &'a Tensor,
    /// `[C]`, moved by `momentum` in training.
    pub running_mean: &'a Tensor,
    /// `[C]`, moved by `momentum` in training.
    pub running_var: &'a Tensor,
    /// Added to the variance; torch's default is 1e-5.
    pub eps: f64,
    /// Weight of new statistics; torch's default is 0.1.
    pub momentum: f64,
}

/// `relu(batch_norm(x))`, and with `pool` a 2x2 max pool of it.
///
/// # Shapes
/// `x` is `[N, C, H, W]`; the output is like `x`, with `pool` half as high and wide, rounded down.
///
/// # Errors
/// If shapes do not fit.
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
    // Pooling first leaves a quarter to rectify; the two commute, in their gradients too.
    let x = if pool { x.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)? } else { x };
    Ok(x.f_relu()?)
}

/// `linear(mean(x, [2, 3]), weight, bias)`: global average pooling and a linear layer, the head of a
/// convolutional network.
///
/// # Shapes
/// `x` is `[N, C, H, W]`, `weight` `[K, C]`, `bias` `[K]`; the output is `[N, K]`.
///
/// # Errors
/// If shapes do not fit.
pub fn mean_linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    if let Some(out) = fused("mean_linear", &[x, weight, bias], &[]) {
        return out;
    }
    let pooled = x.f_mean_dim([2, 3].as_slice(), false, None)?;
    Ok(pooled.f_linear(weight, Some(bias))?)
}

/// `host + alpha (seed - host)`, computed as precisely as `alpha` is given: half-precision features are mixed
/// in float32 and come back in their own dtype.
///
/// # Shapes
/// `host` and `seed` alike; `alpha` is 0-dim or broadcasts; the output is like `host`.
///
/// # Errors
/// If shapes do not fit.
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

/// Asks the host process for a layer in one pass. On the CPU there is none, and nothing is asked.
fn fused(layer: &str, tensors: &[&Tensor], numbers: &[f64]) -> Option<Result<Tensor>> {
    let on_gpu = tensors.first().is_some_and(|x| x.device().is_cuda());
    if on_gpu { services::fused(layer, tensors, numbers) } else { None }
}

/// How many groups suit `channels`: at least 16 channels a group where the channels allow it, never one
/// channel a group, which on a 1x1 map is a constant and kills every gradient behind it.
///
/// ```
/// use kasmina_plugin_api::ops::norm_groups;
/// assert_eq!([3, 8, 48, 64, 384].map(norm_groups), [1, 1, 2, 4, 16]);
/// ```
pub fn norm_groups(channels: i64) -> i64 {
    [32, 16, 8, 4, 2].into_iter().find(|g| channels % g == 0 && channels / g >= 16).unwrap_or(1)
}

/// The same values, channels-last in memory; nothing is copied where they already are.
///
/// # Shapes
/// `[N, C, H, W]` to the same shape.
///
/// # Errors
/// If `x` has not four dimensions.
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
        // One channel lies the same way in both formats; only the strides tell torch which is meant.
        return Ok(x.f_as_strided(&size, wanted, None)?);
    }
    Ok(x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?)
}
