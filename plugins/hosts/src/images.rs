//! Memory format and batch normalisation of the convolutional hosts.

use kasmina_plugin_api::ops::{BatchNorm, channels_last};
use kasmina_plugin_api::prelude::*;

/// Memory layout of the features inside the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryFormat {
    /// Channels last (NHWC).
    ChannelsLast,
    /// Contiguous (NCHW).
    Contiguous,
}

impl MemoryFormat {
    /// Converts images to this format; copies nothing if they already have it.
    ///
    /// # Shapes
    /// `x`: `[batch, channels, height, width]`.
    pub(crate) fn convert(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::ChannelsLast => channels_last(x),
            Self::Contiguous => Ok(x.f_contiguous()?),
        }
    }
}

/// A batch normalisation whose weights start at 1, as in PyTorch. tch's own draws them from 0..1.
#[derive(Debug)]
pub(crate) struct Norm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

/// Added to the variance, as in PyTorch's default.
const EPS: f64 = 1e-5;
/// Weight of a new batch in the running statistics, as in PyTorch's default.
const MOMENTUM: f64 = 0.1;

impl Norm {
    pub(crate) fn new(vars: &nn::Path<'_>, channels: i64) -> Self {
        Self {
            weight: vars.ones("weight", &[channels]),
            bias: vars.zeros("bias", &[channels]),
            running_mean: vars.zeros_no_train("running_mean", &[channels]),
            running_var: vars.ones_no_train("running_var", &[channels]),
        }
    }

    /// Returns the tensors and constants for [`batch_norm_relu`](kasmina_plugin_api::ops::batch_norm_relu).
    pub(crate) fn parts(&self) -> BatchNorm<'_> {
        let Self { weight, bias, running_mean, running_var } = self;
        BatchNorm { weight, bias, running_mean, running_var, eps: EPS, momentum: MOMENTUM }
    }

    /// Applies the normalisation alone, without the ReLU of `ops::batch_norm_relu`.
    ///
    /// # Shapes
    /// `x` and the result: `[batch, channels, height, width]`.
    pub(crate) fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        let (mean, var) = (Some(&self.running_mean), Some(&self.running_var));
        Ok(x.f_batch_norm(weight, bias, mean, var, train, MOMENTUM, EPS, true)?)
    }
}
