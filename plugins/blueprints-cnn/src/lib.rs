//! Seeds for feature maps `[N, C, H, W]`: `norm`, `attention`, `conv_small`, `conv_light`, `conv_heavy`,
//! `depthwise`, `bottleneck`.
//!
//! Each is the identity at birth by a construction in which gradients live: what is multiplied by zero is not
//! itself zero, so the first step already moves something, and the second moves everything. Nothing
//! normalises what is zero at birth, so no gradient is blown up by it.

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
