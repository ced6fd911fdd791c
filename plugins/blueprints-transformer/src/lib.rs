//! Seeds for hidden states `[N, T, C]`, causal in `T`: `norm`, `lora`, `attention`, `flex_attention`, `mlp`,
//! `mlp_small`.
//!
//! Each is the identity at birth by a construction in which gradients live: what is multiplied by zero is not
//! itself zero, so the first step already moves something, and the second moves everything. Nothing
//! normalises what is zero at birth, so no gradient is blown up by it.
//!
//! What flows through a transformer's slots is its residual stream, whose values nobody has normalised: they
//! grow from layer to layer. So attention and mlp begin with a layer norm of their own, as the layers of
//! their host do.

#![forbid(unsafe_code)]

mod attention;
mod flex_attention;
mod heads;
mod layer_norm;
mod lora;
mod mask;
mod mlp;
mod norm;

pub use attention::{Attention, AttentionConfig};
pub use flex_attention::{FlexAttention, FlexAttentionConfig};
pub use lora::{Lora, LoraConfig};
pub use mlp::{Mlp, MlpConfig, MlpSmall, MlpSmallConfig};
pub use norm::{Norm, NormConfig};

kasmina_plugin_api::export_plugin!();
