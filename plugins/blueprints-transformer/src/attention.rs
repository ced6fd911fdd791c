//! The blueprint `attention` for sequences, `x + P attend(QKV(LN(x)))`: causal self-attention.

use crate::heads::{HEADS, Heads};
use kasmina_plugin_api::prelude::*;

/// Settings of the blueprint `attention`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AttentionConfig {
    /// Heads; must divide the channels.
    #[schemars(range(min = 1))]
    pub n_head: i64,
}

impl Default for AttentionConfig {
    fn default() -> Self {
        Self { n_head: HEADS }
    }
}

/// Causal self-attention over normalised features. The output projection starts at 0 and the heads do not,
/// so the projection learns in the first step, and the other layers from the second.
///
/// The cost does not include what depends on `T`: scores and weighted sums take `C (T + 1)` multiply-adds per
/// position on average.
#[derive(Debug)]
pub struct Attention {
    heads: Heads,
}

impl Blueprint for Attention {
    const INFO: EntryInfo = EntryInfo::new("attention", "x + P attend(LN(x)), causal, P = 0 at birth")
        .topologies(&[Topology::TRANSFORMER])
        .capabilities(&[Capability::IdentityAtBirth]);
    type Config = AttentionConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, config: AttentionConfig) -> Result<Box<dyn Seed>> {
        Ok(Box::new(Self { heads: Heads::build(vars, site.channels(), config.n_head)? }))
    }

    fn cost(site: &Site, _: &AttentionConfig) -> Option<Cost> {
        Some(Heads::cost(site.channels()))
    }

    fn pytorch(_: &Site, _: &AttentionConfig) -> Option<String> {
        Some(include_str!("../pytorch/attention.py").to_owned())
    }
}

impl Seed for Attention {
    fn forward(&mut self, x: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        self.heads.forward(x, |qkv| qkv.attend(None))
    }
}

kasmina_plugin_api::register_blueprint!(Attention);
