//! What the convolutional hosts have in common.

use kasmina_plugin_api::ops::{BatchNorm, channels_last};
use kasmina_plugin_api::prelude::*;

/// How features lie in memory inside the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryFormat {
    /// NHWC order.
    ChannelsLast,
    /// NCHW order.
    Contiguous,
}

impl MemoryFormat {
    /// The images in this format; nothing is copied where they already are.
    pub(crate) fn of(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::ChannelsLast => channels_last(x),
            Self::Contiguous => Ok(x.f_contiguous()?),
        }
    }
}

/// A batch normalisation with its statistics. tch's own draws its weights from 0..1; every other framework
/// starts at 1, and so do we.
#[derive(Debug)]
pub(crate) struct Norm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

const EPS: f64 = 1e-5;
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

    pub(crate) fn parts(&self) -> BatchNorm<'_> {
        let Self { weight, bias, running_mean, running_var } = self;
        BatchNorm { weight, bias, running_mean, running_var, eps: EPS, momentum: MOMENTUM }
    }

    /// Without what `ops::batch_norm_relu` puts behind it.
    pub(crate) fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        let (mean, var) = (Some(&self.running_mean), Some(&self.running_var));
        Ok(x.f_batch_norm(weight, bias, mean, var, train, MOMENTUM, EPS, true)?)
    }
}
