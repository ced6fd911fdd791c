//! The blueprint `bottleneck`, `x + g relu(GN(up(mid(down(x)))))`: a 1x1 convolution to fewer channels, a 3x3
//! convolution, and a 1x1 convolution back.

use crate::conv::{ConvNormRelu, conv};
use crate::tail::Tail;
use kasmina_plugin_api::prelude::*;
use tch::nn::Module;

/// Settings of the blueprint `bottleneck`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BottleneckConfig {
    /// The narrow width is `channels / reduction`, at least 8.
    #[schemars(range(min = 1))]
    pub reduction: i64,
}

impl Default for BottleneckConfig {
    fn default() -> Self {
        Self { reduction: 4 }
    }
}

/// Three convolutions, each normalised in one group and rectified, with one gain per channel that starts at
/// 0. The inner normalisations keep the rectifiers of the narrow layers from being 0 everywhere if all
/// features of the slot have the same sign.
#[derive(Debug)]
pub struct Bottleneck {
    down: ConvNormRelu,
    mid: ConvNormRelu,
    up: nn::Conv2D,
    tail: Tail,
}

impl Bottleneck {
    fn width(channels: i64, reduction: i64) -> i64 {
        (channels / reduction).max(8)
    }
}

impl Blueprint for Bottleneck {
    const INFO: EntryInfo =
        EntryInfo::new("bottleneck", "x + g * relu(GN(1x1 up(3x3(1x1 down(x))))), g = 0 at birth")
            .topologies(&[Topology::CNN])
            .capabilities(&[Capability::IdentityAtBirth]);
    type Config = BottleneckConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, config: BottleneckConfig) -> Result<Box<dyn Seed>> {
        if config.reduction < 1 {
            return Err(PluginError::config(format!("reduction {} is not at least 1", config.reduction)));
        }
        let (channels, width) = (site.channels(), Self::width(site.channels(), config.reduction));
        let layer = |name: &str, from, kernel_size| {
            let vars = vars / name;
            ConvNormRelu::new(&vars, conv(&vars / "conv", (from, width), kernel_size, 1), 1)
        };
        Ok(Box::new(Self {
            down: layer("down", channels, 1),
            mid: layer("mid", width, 3),
            up: conv(vars / "up" / "conv", (width, channels), 1, 1),
            tail: Tail::build(vars, channels, 1)?,
        }))
    }

    fn cost(site: &Site, config: &BottleneckConfig) -> Option<Cost> {
        let width = Self::width(site.channels(), config.reduction.max(1)).unsigned_abs();
        let c = site.channels().unsigned_abs();
        let convs = 2 * c * width + 9 * width * width;
        Some(Cost {
            parameters: convs + 2 * ConvNormRelu::PARAMETERS * width + Tail::PARAMETERS * c,
            flops_per_position: convs + 2 * ConvNormRelu::FLOPS * width + Tail::FLOPS * c,
        })
    }

    fn pytorch(_: &Site, _: &BottleneckConfig) -> Option<String> {
        Some(
            concat!(
                include_str!("../pytorch/conv_norm.py"),
                "\n\n",
                include_str!("../pytorch/bottleneck.py")
            )
            .to_owned(),
        )
    }
}

impl Seed for Bottleneck {
    fn forward(&mut self, x: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        let narrow = self.mid.forward(&self.down.forward(x)?)?;
        self.tail.join(x, &self.up.forward(&narrow))
    }
}

kasmina_plugin_api::register_blueprint!(Bottleneck);
