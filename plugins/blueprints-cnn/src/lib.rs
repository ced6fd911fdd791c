//! Seeds for feature maps `[N, C, H, W]`: `norm`, `attention`, `conv_light`.
//!
//! Each is the identity at birth by a construction in which gradients live: what is multiplied by zero is not
//! itself zero, so the first step already moves something, and the second moves everything.

#![forbid(unsafe_code)]

mod attention;
mod conv_light;
mod norm;

pub use attention::{Attention, AttentionConfig};
pub use conv_light::{ConvLight, ConvLightConfig};
pub use norm::{Norm, NormConfig};

kasmina_plugin_api::export_plugin!();
