//! The last part of the convolutional seeds, `x + g relu(GN(branch))`.

use kasmina_plugin_api::ops::norm_residual;
use kasmina_plugin_api::prelude::*;

/// The last normalisation of a branch, a ReLU, and one gain per channel that starts at 0. The gain multiplies
/// normalised features, about half of which are positive. So the gain learns in the first step, and the
/// layers before it from the second. On a GPU all of this is one kernel.
#[derive(Debug)]
pub(crate) struct Tail {
    weight: Tensor,
    bias: Tensor,
    gain: Tensor,
    groups: i64,
}

impl Tail {
    /// Multiply-adds per channel and position: four of the normalisation, one of the ReLU and one of the
    /// gain.
    pub(crate) const FLOPS: u64 = 6;
    /// Number of parameters for each channel.
    pub(crate) const PARAMETERS: u64 = 3;

    /// Creates the variables. Refuses groups that do not divide the channels.
    pub(crate) fn build(vars: &nn::Path<'_>, channels: i64, groups: i64) -> Result<Self> {
        if groups < 1 || channels % groups != 0 {
            let text = format!("groups {groups} does not divide the slot's {channels} channels");
            return Err(PluginError::config(text));
        }
        let norm = vars / "norm";
        Ok(Self {
            weight: norm.ones("weight", &[channels]),
            bias: norm.zeros("bias", &[channels]),
            gain: vars.zeros("gain", &[1, channels, 1, 1]),
            groups,
        })
    }

    /// Returns `x + gain * relu(group_norm(branch))`.
    ///
    /// # Shapes
    /// `x`, `branch` and output: `[N, C, H, W]`.
    pub(crate) fn join(&self, x: &Tensor, branch: &Tensor) -> Result<Tensor> {
        norm_residual(x, branch, self.groups, (&self.weight, &self.bias), &self.gain)
    }
}
