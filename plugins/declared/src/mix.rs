//! The last operation of a seed, which combines the slot's features with the branch.

use crate::layer::Mix;
use kasmina_plugin_api::ops::lerp;
use kasmina_plugin_api::prelude::*;
use tch::nn::Init;

/// A [`Mix`] with its gain. The gain's gradient is proportional to the branch (or to its difference from the
/// slot's features), which is not 0 at birth. So a gain of 0 learns in the first step, and the branch from
/// the second.
#[derive(Debug)]
pub(crate) struct Mixer {
    add: bool,
    gain: Option<Tensor>,
}

impl Mixer {
    pub(crate) fn new(vars: &nn::Path<'_>, mix: Mix) -> Result<Self> {
        let gain = mix.gain.map(|value| vars.f_var("gain", &[], Init::Const(value))).transpose()?;
        Ok(Self { add: mix.add, gain })
    }

    /// Returns `x + y`, `x + g y`, `y` or `x + g (y - x)`, in the dtype of `x`.
    ///
    /// # Shapes
    /// `x`, `y` and output: the same, `[N, C, H, W]` or `[N, T, C]`.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub(crate) fn mix(&self, x: &Tensor, y: Tensor) -> Result<Tensor> {
        let mixed = match (&self.gain, self.add) {
            (None, false) => y,
            (None, true) => x.f_add(&y)?,
            (Some(gain), true) if y.kind() == x.kind() => x.f_addcmul(&y, gain)?,
            (Some(gain), true) => x.f_add(&y.f_mul(gain)?)?,
            (Some(gain), false) => lerp(x, &y, gain)?,
        };
        if mixed.kind() == x.kind() { Ok(mixed) } else { Ok(mixed.f_to_kind(x.kind())?) }
    }
}
