//! The blueprint `conv_small`, `x + g relu(GN(conv1x1(x)))`, which mixes the channels of each position.

use crate::conv::conv;
use crate::tail::Tail;
use kasmina_plugin_api::prelude::*;
use tch::nn::Module;

/// Settings of the blueprint `conv_small`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConvSmallConfig {
    /// Groups of the normalisation; must divide the channels. One group also works on small maps.
    #[schemars(range(min = 1))]
    pub groups: i64,
}

impl Default for ConvSmallConfig {
    fn default() -> Self {
        Self { groups: 1 }
    }
}

/// A 1x1 convolution, normalised and rectified, with one gain per channel that starts at 0. The convolution
/// is initialised randomly: with zeros, the ReLU after it would never pass a gradient.
///
/// With a single channel the convolution is a single factor, of which the normalisation keeps little more
/// than the sign.
#[derive(Debug)]
pub struct ConvSmall {
    conv: nn::Conv2D,
    tail: Tail,
}

impl Blueprint for ConvSmall {
    const INFO: EntryInfo = EntryInfo::new("conv_small", "x + g * relu(GN(conv1x1(x))), g = 0 at birth")
        .topologies(&[Topology::CNN])
        .capabilities(&[Capability::IdentityAtBirth]);
    type Config = ConvSmallConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, config: ConvSmallConfig) -> Result<Box<dyn Seed>> {
        let channels = site.channels();
        let tail = Tail::build(vars, channels, config.groups)?;
        Ok(Box::new(Self { conv: conv(vars / "conv", (channels, channels), 1, 1), tail }))
    }

    fn cost(site: &Site, _: &ConvSmallConfig) -> Option<Cost> {
        let c = site.channels().unsigned_abs();
        Some(Cost { parameters: c * c + Tail::PARAMETERS * c, flops_per_position: c * c + Tail::FLOPS * c })
    }

    fn pytorch(_: &Site, _: &ConvSmallConfig) -> Option<String> {
        Some(include_str!("../pytorch/conv_small.py").to_owned())
    }
}

impl Seed for ConvSmall {
    fn forward(&mut self, x: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        self.tail.join(x, &self.conv.forward(x))
    }
}

kasmina_plugin_api::register_blueprint!(ConvSmall);
