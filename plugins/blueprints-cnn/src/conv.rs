//! Shared by the convolutional seeds: convolutions that keep the size of the map, with normalisation and
//! ReLU.

use kasmina_plugin_api::ops::group_norm;
use kasmina_plugin_api::prelude::*;
use tch::nn::Module;

/// Refuses even kernel sizes, which would shift the map, and sizes outside of 1 to 15.
pub(crate) fn check_kernel(size: i64) -> Result<()> {
    if (1..=15).contains(&size) && size % 2 == 1 {
        return Ok(());
    }
    Err(PluginError::config(format!("kernel_size {size} is not an odd number in 1..=15")))
}

/// Creates a convolution that keeps the size of the map. It has no bias, because a normalisation follows
/// that would remove it.
pub(crate) fn conv(vars: nn::Path<'_>, (from, to): (i64, i64), kernel_size: i64, groups: i64) -> nn::Conv2D {
    let config = nn::ConvConfig { padding: kernel_size / 2, bias: false, groups, ..Default::default() };
    nn::conv2d(vars, from, to, kernel_size, config)
}

/// The layer `relu(GN(conv(x)))` inside a branch.
#[derive(Debug)]
pub(crate) struct ConvNormRelu {
    conv: nn::Conv2D,
    weight: Tensor,
    bias: Tensor,
    groups: i64,
}

impl ConvNormRelu {
    /// Multiply-adds per channel and position without the convolution: four of the normalisation, one of the
    /// ReLU.
    pub(crate) const FLOPS: u64 = 5;
    /// Parameters per channel without the convolution.
    pub(crate) const PARAMETERS: u64 = 2;

    pub(crate) fn new(vars: &nn::Path<'_>, conv: nn::Conv2D, groups: i64) -> Self {
        let (norm, channels) = (vars / "norm", conv.ws.size()[0]);
        let (weight, bias) = (norm.ones("weight", &[channels]), norm.zeros("bias", &[channels]));
        Self { conv, weight, bias, groups }
    }

    /// Runs the layer.
    ///
    /// # Shapes
    /// `x`: `[N, C, H, W]`; output: `[N, K, H, W]` for `K` output channels.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.conv.forward(x);
        // On a GPU torch's group norm converts channels-last features to the contiguous format, and the next
        // convolution converts them back. A layer norm avoids both.
        let channels_last = y.device().is_cuda() && y.stride()[1] == 1;
        let normalised =
            if channels_last && self.groups == 1 { self.layer_norm(&y)? } else { self.grouped(&y)? };
        Ok(normalised.f_relu()?)
    }

    fn grouped(&self, y: &Tensor) -> Result<Tensor> {
        group_norm(y, self.groups, &self.weight, &self.bias)
    }

    /// Group normalisation with a single group, computed as a layer norm over a whole sample, which keeps the
    /// memory format.
    fn layer_norm(&self, y: &Tensor) -> Result<Tensor> {
        let last = y.f_permute([0, 2, 3, 1])?;
        let none = None::<&Tensor>;
        let normalised = last.f_layer_norm(&last.size()[1..], none, none, 1e-5, true)?;
        // The result has the dtype of the statistics: under autocast float32, although the features are not.
        Ok(self.bias.f_addcmul(&normalised, &self.weight)?.f_permute([0, 3, 1, 2])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn layer_norm_equals_group_norm_with_one_group() {
        for (channels, layout) in [(8, true), (8, false), (1, true), (3, true)] {
            let vars = nn::VarStore::new(Device::Cpu);
            let root = vars.root();
            let layer = ConvNormRelu::new(&root, conv(&root / "conv", (channels, channels), 3, 1), 1);
            tch::no_grad(|| {
                let _ = layer.weight.shallow_clone().uniform_(0.5, 1.5);
                let _ = layer.bias.shallow_clone().uniform_(-1.0, 1.0);
            });
            let y = Tensor::randn([2, channels, 5, 4], (Kind::Float, Device::Cpu)) * 3.0 + 1.0;
            let y = if layout { y.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]) } else { y };
            let (whole, grouped) = (layer.layer_norm(&y).unwrap(), layer.grouped(&y).unwrap());
            assert!(whole.allclose(&grouped, 1e-5, 1e-5, false), "{channels} {layout}");
            if layout && channels > 1 {
                assert_eq!(whole.stride(), y.stride());
            }
        }
    }
}
