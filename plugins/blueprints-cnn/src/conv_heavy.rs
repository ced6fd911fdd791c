//! The blueprint `conv_heavy`, `x + g relu(GN(conv3x3(relu(GN(conv3x3(x))))))`.

use crate::conv::{ConvNormRelu, check_kernel, conv};
use crate::tail::Tail;
use kasmina_plugin_api::prelude::*;
use tch::nn::Module;

/// Settings of the blueprint `conv_heavy`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConvHeavyConfig {
    /// Side of the square kernels; odd.
    #[schemars(range(min = 1, max = 15))]
    pub kernel_size: i64,
    /// Groups of the normalisations; must divide the channels. One group also works on small maps, and keeps
    /// channels-last features in their memory format.
    #[schemars(range(min = 1))]
    pub groups: i64,
}

impl Default for ConvHeavyConfig {
    fn default() -> Self {
        Self { kernel_size: 3, groups: 1 }
    }
}

/// Two convolutions, each normalised and rectified, with one gain per channel that starts at 0.
#[derive(Debug)]
pub struct ConvHeavy {
    first: ConvNormRelu,
    conv: nn::Conv2D,
    tail: Tail,
}

impl Blueprint for ConvHeavy {
    const INFO: EntryInfo =
        EntryInfo::new("conv_heavy", "x + g * two of relu(GN(conv3x3(...))), g = 0 at birth")
            .topologies(&[Topology::CNN])
            .capabilities(&[Capability::IdentityAtBirth]);
    type Config = ConvHeavyConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, config: ConvHeavyConfig) -> Result<Box<dyn Seed>> {
        let (channels, k) = (site.channels(), config.kernel_size);
        check_kernel(k)?;
        let tail = Tail::build(vars, channels, config.groups)?;
        let layer = |name: &str| conv(vars / name / "conv", (channels, channels), k, 1);
        let first = ConvNormRelu::new(&(vars / "first"), layer("first"), config.groups);
        Ok(Box::new(Self { first, conv: layer("second"), tail }))
    }

    fn cost(site: &Site, config: &ConvHeavyConfig) -> Option<Cost> {
        let (c, k) = (site.channels().unsigned_abs(), config.kernel_size.unsigned_abs());
        let convs = 2 * c * c * k * k;
        Some(Cost {
            parameters: convs + (ConvNormRelu::PARAMETERS + Tail::PARAMETERS) * c,
            flops_per_position: convs + (ConvNormRelu::FLOPS + Tail::FLOPS) * c,
        })
    }

    fn pytorch(_: &Site, _: &ConvHeavyConfig) -> Option<String> {
        Some(
            concat!(
                include_str!("../pytorch/conv_norm.py"),
                "\n\n",
                include_str!("../pytorch/conv_heavy.py")
            )
            .to_owned(),
        )
    }
}

impl Seed for ConvHeavy {
    fn forward(&mut self, x: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        self.tail.join(x, &self.conv.forward(&self.first.forward(x)?))
    }
}

kasmina_plugin_api::register_blueprint!(ConvHeavy);
