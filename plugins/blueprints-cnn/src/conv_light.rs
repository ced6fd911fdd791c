//! The blueprint `conv_light`, `x + g relu(GN(conv3x3(x)))`.

use crate::conv::{check_kernel, conv};
use crate::tail::Tail;
use kasmina_plugin_api::prelude::*;
use tch::nn::Module;

/// Settings of the blueprint `conv_light`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConvLightConfig {
    /// Side of the square kernel; odd.
    #[schemars(range(min = 1, max = 15))]
    pub kernel_size: i64,
    /// Groups of the normalisation; must divide the channels. One group also works on small maps.
    #[schemars(range(min = 1))]
    pub groups: i64,
}

impl Default for ConvLightConfig {
    fn default() -> Self {
        Self { kernel_size: 3, groups: 1 }
    }
}

/// A convolution, normalised and rectified, with one gain per channel that starts at 0.
#[derive(Debug)]
pub struct ConvLight {
    conv: nn::Conv2D,
    tail: Tail,
}

impl Blueprint for ConvLight {
    const INFO: EntryInfo = EntryInfo::new("conv_light", "x + g * relu(GN(conv3x3(x))), g = 0 at birth")
        .topologies(&[Topology::CNN])
        .capabilities(&[Capability::IdentityAtBirth]);
    type Config = ConvLightConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, config: ConvLightConfig) -> Result<Box<dyn Seed>> {
        let channels = site.channels();
        check_kernel(config.kernel_size)?;
        let tail = Tail::build(vars, channels, config.groups)?;
        let conv = conv(vars / "conv", (channels, channels), config.kernel_size, 1);
        Ok(Box::new(Self { conv, tail }))
    }

    fn cost(site: &Site, config: &ConvLightConfig) -> Option<Cost> {
        let (c, k) = (site.channels().unsigned_abs(), config.kernel_size.unsigned_abs());
        Some(Cost {
            parameters: c * c * k * k + Tail::PARAMETERS * c,
            flops_per_position: c * c * k * k + Tail::FLOPS * c,
        })
    }

    fn pytorch(_: &Site, _: &ConvLightConfig) -> Option<String> {
        Some(include_str!("../pytorch/conv_light.py").to_owned())
    }
}

impl Seed for ConvLight {
    fn forward(&mut self, x: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        self.tail.join(x, &self.conv.forward(x))
    }
}

kasmina_plugin_api::register_blueprint!(ConvLight);
