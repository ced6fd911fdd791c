//! The blueprint `flex_attention`, `x + P attend(QKV(LN(x)))` with a sliding window, ALiBi, or both.

use crate::heads::{HEADS, Heads};
use crate::mask::{Masks, Modification};
use kasmina_plugin_api::prelude::*;

/// Settings of the blueprint `flex_attention`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FlexAttentionConfig {
    /// Number of positions that each attends to: itself and those just before it; all if absent.
    #[schemars(range(min = 1))]
    pub window: Option<i64>,
    /// Whether scores fall with distance (ALiBi): head `h` of `n` adds `-2^(-8 h / n)` per position.
    pub alibi: bool,
    /// Heads; must divide the channels.
    #[schemars(range(min = 1))]
    pub n_head: i64,
}

impl Default for FlexAttentionConfig {
    fn default() -> Self {
        Self { window: None, alibi: true, n_head: HEADS }
    }
}

/// Causal self-attention over normalised features, with a mask that is added to the scores. The output
/// projection starts at 0 and the heads do not, so the projection learns in the first step, and the other
/// layers from the second.
///
/// The mask of a length is computed once and kept. It has `T^2` elements, with ALiBi for each head. The cost
/// does not include what depends on `T`: scores and weighted sums take `2 C T` multiply-adds per position,
/// even if a window masks most of them.
#[derive(Debug)]
pub struct FlexAttention {
    heads: Heads,
    masks: Masks,
}

impl Blueprint for FlexAttention {
    const INFO: EntryInfo =
        EntryInfo::new("flex_attention", "attention with ALiBi or a sliding window, P = 0 at birth")
            .topologies(&[Topology::TRANSFORMER])
            .capabilities(&[Capability::IdentityAtBirth]);
    type Config = FlexAttentionConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, config: FlexAttentionConfig) -> Result<Box<dyn Seed>> {
        let FlexAttentionConfig { window, alibi, n_head } = config;
        if let Some(window) = window.filter(|window| *window < 1) {
            return Err(PluginError::config(format!("window {window} is not at least 1")));
        }
        let heads = Heads::build(vars, site.channels(), n_head)?;
        Ok(Box::new(Self { heads, masks: Masks::new(Modification { window, alibi, n_head }) }))
    }

    fn cost(site: &Site, _: &FlexAttentionConfig) -> Option<Cost> {
        Some(Heads::cost(site.channels()))
    }

    fn pytorch(_: &Site, _: &FlexAttentionConfig) -> Option<String> {
        Some(include_str!("../pytorch/flex_attention.py").to_owned())
    }
}

impl Seed for FlexAttention {
    fn forward(&mut self, x: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        let Self { heads, masks } = self;
        heads.forward(x, |qkv| qkv.attend(masks.of(&qkv.q)?.as_ref()))
    }
}

kasmina_plugin_api::register_blueprint!(FlexAttention);
