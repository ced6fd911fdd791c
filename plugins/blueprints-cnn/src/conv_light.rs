//! `x + g relu(GN(conv3x3(x)))`: the workhorse.

use kasmina_plugin_api::ops::norm_residual;
use kasmina_plugin_api::prelude::*;
use tch::nn::Module;

/// The settings of `conv_light`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ConvLightConfig {
    /// Side of the square kernel; odd.
    #[schemars(range(min = 1, max = 15))]
    pub kernel_size: i64,
    /// Groups of the normalisation; must divide the channels. One group keeps small maps alive.
    #[schemars(range(min = 1))]
    pub groups: i64,
}

impl Default for ConvLightConfig {
    fn default() -> Self {
        Self { kernel_size: 3, groups: 1 }
    }
}

/// A convolution, normalised and rectified, behind one gain per channel that starts at 0.
#[derive(Debug)]
pub struct ConvLight {
    conv: nn::Conv2D,
    weight: Tensor,
    bias: Tensor,
    gain: Tensor,
    groups: i64,
}

impl Blueprint for ConvLight {
    const INFO: EntryInfo = EntryInfo::new("conv_light", "x + g * relu(GN(conv3x3(x))), g = 0 at birth")
        .topologies(&[Topology::CNN])
        .capabilities(&[Capability::IdentityAtBirth]);
    type Config = ConvLightConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, config: ConvLightConfig) -> Result<Box<dyn Seed>> {
        let (channels, k) = (site.channels(), config.kernel_size);
        if !(1..=15).contains(&k) || k % 2 == 0 {
            return Err(PluginError::config(format!("kernel_size {k} is not an odd number in 1..=15")));
        }
        if config.groups < 1 || channels % config.groups != 0 {
            let text = format!("groups {} does not divide the slot's {channels} channels", config.groups);
            return Err(PluginError::config(text));
        }
        let conv = nn::ConvConfig { padding: k / 2, bias: false, ..Default::default() };
        let norm = vars / "norm";
        Ok(Box::new(Self {
            conv: nn::conv2d(vars / "conv", channels, channels, k, conv),
            weight: norm.ones("weight", &[channels]),
            bias: norm.zeros("bias", &[channels]),
            gain: vars.zeros("gain", &[1, channels, 1, 1]),
            groups: config.groups,
        }))
    }

    fn cost(site: &Site, config: &ConvLightConfig) -> Option<Cost> {
        let (c, k) = (site.channels().unsigned_abs(), config.kernel_size.unsigned_abs());
        Some(Cost { parameters: c * c * k * k + 3 * c, flops_per_position: c * c * k * k + 6 * c })
    }
}

impl Seed for ConvLight {
    fn forward(&mut self, x: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        norm_residual(x, &self.conv.forward(x), self.groups, (&self.weight, &self.bias), &self.gain)
    }
}

kasmina_plugin_api::register_blueprint!(ConvLight);
