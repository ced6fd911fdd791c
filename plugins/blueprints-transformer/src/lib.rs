//! Seeds for hidden states `[N, T, C]`, causal in `T`: `norm`, `lora`, `attention`, `flex_attention`, `mlp`,
//! `mlp_small`.
//!
//! Each seed is the identity at birth and still gets gradients. A factor that is 0 at birth multiplies
//! values that are not 0, so the first step moves that factor and the second step moves all parameters. No
//! value that is 0 at birth is normalised, which would make gradients very large.
//!
//! The features of a transformer's slots are its residual stream, which is not normalised and whose values
//! grow from layer to layer. So attention and MLP seeds begin with a layer norm, as the layers of their host
//! do.

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
