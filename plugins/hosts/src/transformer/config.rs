//! Settings of the decoder.

use crate::settings::at_least_one;
use kasmina_plugin_api::prelude::*;

/// Settings of the host `transformer`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TransformerConfig {
    /// Size of the vocabulary.
    #[schemars(range(min = 1))]
    pub vocab_size: i64,
    /// Width of the residual stream.
    #[schemars(range(min = 1))]
    pub n_embd: i64,
    /// Number of attention heads; must divide `n_embd`.
    #[schemars(range(min = 1))]
    pub n_head: i64,
    /// Number of blocks. Each is followed by a slot.
    #[schemars(range(min = 1, max = 1024))]
    pub n_layer: i64,
    /// Largest length of a sequence, in tokens.
    #[schemars(range(min = 1))]
    pub block_size: i64,
    /// Dropout probability of embeddings, attention weights and residual branches in training.
    #[schemars(range(min = 0.0, max = 0.9))]
    pub dropout: f64,
}

impl Default for TransformerConfig {
    fn default() -> Self {
        Self { vocab_size: 50_257, n_embd: 384, n_head: 6, n_layer: 6, block_size: 256, dropout: 0.1 }
    }
}

/// Standard deviation of the initial weights.
pub(super) const SCALE: f64 = 0.02;

/// Refuses settings that no decoder can be built with.
pub(super) fn check_config(config: &TransformerConfig) -> Result<()> {
    at_least_one(&[
        ("vocab_size", config.vocab_size),
        ("n_embd", config.n_embd),
        ("n_head", config.n_head),
        ("n_layer", config.n_layer),
        ("block_size", config.block_size),
    ])?;
    let wrong = |text: String| Err(PluginError::config(text));
    if config.n_embd % config.n_head != 0 {
        return wrong(format!("n_head {} does not divide n_embd {}", config.n_head, config.n_embd));
    }
    if config.n_layer > 1024 {
        return wrong(format!("n_layer {} is not at most 1024", config.n_layer));
    }
    if !(0.0..=0.9).contains(&config.dropout) {
        return wrong(format!("dropout {} is not in 0..=0.9", config.dropout));
    }
    Ok(())
}
