//! Layer normalisation over the channels of each position.

use kasmina_plugin_api::prelude::*;

/// A layer norm with a weight and a bias per channel.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    /// Multiply-adds per channel and position.
    pub(crate) const FLOPS: u64 = 4;
    /// Number of parameters for each channel.
    pub(crate) const PARAMETERS: u64 = 2;

    /// Creates the variables. Refuses a single channel, because its normalised value is constant, so no
    /// layer before the norm would learn.
    pub(crate) fn build(vars: &nn::Path<'_>, channels: i64) -> Result<Self> {
        if channels < 2 {
            let text = format!("a layer norm of {channels} channel is constant; it needs at least 2");
            return Err(PluginError::unsupported(text));
        }
        Ok(Self { weight: vars.ones("weight", &[channels]), bias: vars.zeros("bias", &[channels]) })
    }

    /// Runs the norm. Under autocast the output is float32.
    ///
    /// # Shapes
    /// `x` and output: `[N, T, C]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), 1e-5, true)?)
    }
}
