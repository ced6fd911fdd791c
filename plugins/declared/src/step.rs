//! Operations with all their numbers.

use crate::ops::Activation;

/// Sizes of a convolution. `from` and `to` are channels; `zeros` says that the weights are 0 at birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conv {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) kernel: i64,
    pub(crate) stride: i64,
    pub(crate) groups: i64,
    pub(crate) dilation: i64,
    pub(crate) bias: bool,
    pub(crate) zeros: bool,
}

/// Operation of one node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Step {
    Conv(Conv),
    Linear { from: i64, to: i64, bias: bool, zeros: bool },
    GroupNorm { channels: i64, groups: i64 },
    LayerNorm { channels: i64, eps: f64 },
    RmsNorm { channels: i64, eps: f64 },
    BatchNorm { channels: i64, momentum: f64, eps: f64 },
    Activation(Activation),
    SqueezeExcite { channels: i64, squeezed: i64 },
    SelfAttention { channels: i64, heads: i64, causal: bool, bias: bool, zeros: bool },
    AvgPool { kernel: i64, stride: i64 },
    MaxPool { kernel: i64, stride: i64 },
    GlobalAvg,
    Upsample,
    Add,
    Mul,
    Concat,
    Scale { factors: i64, value: f64 },
    Dropout { p: f64 },
    Identity,
}

impl Step {
    /// Returns the number of trainable parameters.
    pub(crate) fn parameters(&self) -> u64 {
        let count = match *self {
            Self::Conv(c) => c.to * (c.from / c.groups) * c.kernel * c.kernel + if c.bias { c.to } else { 0 },
            Self::Linear { from, to, bias, .. } => from * to + if bias { to } else { 0 },
            Self::GroupNorm { channels, .. }
            | Self::LayerNorm { channels, .. }
            | Self::BatchNorm { channels, .. } => 2 * channels,
            Self::RmsNorm { channels, .. } => channels,
            Self::SqueezeExcite { channels, squeezed } => 2 * channels * squeezed + channels + squeezed,
            Self::SelfAttention { channels, bias, .. } => 4 * channels * (channels + i64::from(bias)),
            Self::Scale { factors, .. } => factors,
            _ => 0,
        };
        count.unsigned_abs()
    }
}
