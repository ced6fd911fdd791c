//! The blueprint `depthwise`, `x + g relu(GN(conv1x1(depthwise3x3(x))))`, which filters each channel
//! separately and then mixes the channels.

use crate::conv::{check_kernel, conv};
use crate::tail::Tail;
use kasmina_plugin_api::prelude::*;
use tch::nn::Module;

/// Settings of the blueprint `depthwise`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DepthwiseConfig {
    /// Side of the square kernels, one for each channel; odd.
    #[schemars(range(min = 1, max = 15))]
    pub kernel_size: i64,
    /// Groups of the normalisation; must divide the channels. One group also works on small maps.
    #[schemars(range(min = 1))]
    pub groups: i64,
}

impl Default for DepthwiseConfig {
    fn default() -> Self {
        Self { kernel_size: 3, groups: 1 }
    }
}

/// A depthwise convolution and a 1x1 convolution, normalised and rectified, with one gain per channel that
/// starts at 0.
#[derive(Debug)]
pub struct Depthwise {
    depth: nn::Conv2D,
    point: nn::Conv2D,
    tail: Tail,
}

impl Blueprint for Depthwise {
    const INFO: EntryInfo =
        EntryInfo::new("depthwise", "x + g * relu(GN(conv1x1(depthwise3x3(x)))), g = 0 at birth")
            .topologies(&[Topology::CNN])
            .capabilities(&[Capability::IdentityAtBirth]);
    type Config = DepthwiseConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, config: DepthwiseConfig) -> Result<Box<dyn Seed>> {
        let channels = site.channels();
        check_kernel(config.kernel_size)?;
        let tail = Tail::build(vars, channels, config.groups)?;
        let depth = conv(vars / "depth", (channels, channels), config.kernel_size, channels);
        let point = conv(vars / "point", (channels, channels), 1, 1);
        Ok(Box::new(Self { depth, point, tail }))
    }

    fn cost(site: &Site, config: &DepthwiseConfig) -> Option<Cost> {
        let (c, k) = (site.channels().unsigned_abs(), config.kernel_size.unsigned_abs());
        let convs = c * k * k + c * c;
        Some(Cost { parameters: convs + Tail::PARAMETERS * c, flops_per_position: convs + Tail::FLOPS * c })
    }

    fn pytorch(_: &Site, _: &DepthwiseConfig) -> Option<String> {
        Some(include_str!("../pytorch/depthwise.py").to_owned())
    }
}

impl Seed for Depthwise {
    fn forward(&mut self, x: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        self.tail.join(x, &self.point.forward(&self.depth.forward(x)))
    }
}

kasmina_plugin_api::register_blueprint!(Depthwise);
