//! Seeds for feature maps `[N, C, H, W]`: `norm`, `attention`, `conv_small`, `conv_light`, `conv_heavy`,
//! `depthwise`, `bottleneck`.
//!
//! Each seed is the identity at birth and still gets gradients. A factor that is 0 at birth multiplies
//! values that are not 0, so the first step moves that factor and the second step moves all parameters. No
//! value that is 0 at birth is normalised, which would make gradients very large.

#![forbid(unsafe_code)]

mod attention;
mod bottleneck;
mod conv;
mod conv_heavy;
mod conv_light;
mod conv_small;
mod depthwise;
mod norm;
mod tail;

pub use attention::{Attention, AttentionConfig};
pub use bottleneck::{Bottleneck, BottleneckConfig};
pub use conv_heavy::{ConvHeavy, ConvHeavyConfig};
pub use conv_light::{ConvLight, ConvLightConfig};
pub use conv_small::{ConvSmall, ConvSmallConfig};
pub use depthwise::{Depthwise, DepthwiseConfig};
pub use norm::{Norm, NormConfig};

kasmina_plugin_api::export_plugin!();
