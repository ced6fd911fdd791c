//! `x + P attend(QKV(LN(x)))` with changed scores: a sliding window, a price for distance, or both.

use crate::heads::{HEADS, Heads};
use crate::mask::{Masks, Modification};
use kasmina_plugin_api::prelude::*;

/// Settings of the blueprint `flex_attention`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FlexAttentionConfig {
    /// How many positions one sees, itself and those just before it; all of them if not given.
    #[schemars(range(min = 1))]
    pub window: Option<i64>,
    /// Whether distance is held against a position: head `h` of `n` adds `-2^(-8 h / n)` a step to its scores
    /// (ALiBi).
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

/// Causal attention over normalised features, with a mask added to its scores, behind a projection that
/// starts at 0 while the heads do not: the projection learns in the first step, and everything before it from
/// the second on.
///
/// A mask is made once for a length and kept; it holds `T^2` numbers, with ALiBi for each head. Its cost
/// leaves out what depends on `T`: scores and mixtures take `2 C T` multiply-adds per position, also where a
/// window hides most of them.
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
