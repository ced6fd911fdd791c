//! Keys and values of the tokens that a decoder has read, so that it reads no token twice.

use super::config::TransformerConfig;
use kasmina_plugin_api::prelude::*;

/// Keys and values of all blocks. The memory for `block_size` tokens is allocated at once.
#[derive(Debug)]
pub(super) struct KeyValueCache {
    /// Keys and values of each block: `[sequences, heads, block_size, n_embd / heads]`.
    blocks: Vec<(Tensor, Tensor)>,
    tokens: i64,
    sequences: i64,
}

impl KeyValueCache {
    /// Returns an empty cache for the sequences of the features `x`, in the memory of an earlier one if that
    /// fits.
    ///
    /// # Shapes
    /// `x`: `[sequences, length, n_embd]`.
    pub(super) fn new(earlier: Option<Self>, x: &Tensor, config: &TransformerConfig) -> Result<Self> {
        let sequences = x.size().first().copied().unwrap_or(0);
        let options = (x.kind(), x.device());
        let fits = |cache: &Self| {
            let first = cache.blocks.first().map(|(keys, _)| (keys.kind(), keys.device()));
            cache.sequences == sequences && first == Some(options)
        };
        if let Some(cache) = earlier.filter(fits) {
            return Ok(Self { tokens: 0, ..cache });
        }
        let shape = [sequences, config.n_head, config.block_size, config.n_embd / config.n_head];
        let block = |_| Ok((Tensor::f_empty(shape, options)?, Tensor::f_empty(shape, options)?));
        let blocks = (0..config.n_layer).map(block).collect::<Result<Vec<_>>>()?;
        Ok(Self { blocks, tokens: 0, sequences })
    }

    /// Number of tokens of each sequence.
    pub(super) fn tokens(&self) -> i64 {
        self.tokens
    }

    /// Number of sequences.
    pub(super) fn sequences(&self) -> i64 {
        self.sequences
    }

    /// Whether the cache contains `past` tokens of `sequences` sequences.
    pub(super) fn serves(&self, past: i64, sequences: i64) -> bool {
        (self.tokens, self.sequences) == (past, sequences)
    }

    /// Writes the keys and values of new tokens in a block, and returns those of all tokens.
    ///
    /// # Shapes
    /// Each `[sequences, heads, length, n_embd / heads]`.
    pub(super) fn extend(&mut self, block: usize, key: &Tensor, value: &Tensor) -> Result<(Tensor, Tensor)> {
        let length = key.size()[2];
        let Some((keys, values)) = self.blocks.get(block) else {
            return Err(PluginError::contract(format!("the cache has no block {block}")));
        };
        keys.f_narrow(2, self.tokens, length)?.f_copy_(key)?;
        values.f_narrow(2, self.tokens, length)?.f_copy_(value)?;
        let all = self.tokens + length;
        Ok((keys.f_narrow(2, 0, all)?, values.f_narrow(2, 0, all)?))
    }

    /// Counts the new tokens, when every block has their keys and values.
    ///
    /// # Shapes
    /// `x`: features of the new tokens, `[sequences, length, n_embd]`.
    pub(super) fn advance(&mut self, x: &Tensor) {
        self.tokens += x.size()[1];
    }
}
