//! Layer normalisation over the channels of a position.

use kasmina_plugin_api::prelude::*;

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

    /// Refuses a single channel: normalised by itself it is constant, and nothing in front of it would learn.
    pub(crate) fn build(vars: &nn::Path<'_>, channels: i64) -> Result<Self> {
        if channels < 2 {
            let text = format!("a layer norm of {channels} channel is constant; it needs at least 2");
            return Err(PluginError::unsupported(text));
        }
        Ok(Self { weight: vars.ones("weight", &[channels]), bias: vars.zeros("bias", &[channels]) })
    }

    /// # Shapes
    /// `[N, T, C]` to the same; under autocast in float32.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), 1e-5, true)?)
    }
}
