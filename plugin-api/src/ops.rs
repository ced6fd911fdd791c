//! Layers that authors need and that must be called with care.

use crate::{PluginError, Result};
use tch::{Device, Tensor};

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
    let eps = 1e-5;
    let crashes = x.device() == Device::Cpu && !x.requires_grad() && !x.is_contiguous();
    let packed = if crashes { &x.f_contiguous()? } else { x };
    Ok(packed.f_group_norm(groups, Some(weight), Some(bias), eps, false)?)
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
