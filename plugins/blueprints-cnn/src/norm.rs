//! The blueprint `norm` for feature maps, `x + tanh(g) (GN(x) - x)`.

use kasmina_plugin_api::ops::{group_norm, lerp, norm_groups};
use kasmina_plugin_api::prelude::*;

/// `norm` has no settings.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NormConfig {}

/// A group normalisation, interpolated with the features by one gain per channel that starts at 0.
#[derive(Debug)]
pub struct Norm {
    weight: Tensor,
    bias: Tensor,
    gain: Tensor,
    groups: i64,
}

impl Blueprint for Norm {
    const INFO: EntryInfo = EntryInfo::new("norm", "x + tanh(g) * (GN(x) - x), g = 0 at birth")
        .topologies(&[Topology::CNN])
        .capabilities(&[Capability::IdentityAtBirth]);
    type Config = NormConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, _: NormConfig) -> Result<Box<dyn Seed>> {
        let channels = site.channels();
        Ok(Box::new(Self {
            weight: vars.ones("weight", &[channels]),
            bias: vars.zeros("bias", &[channels]),
            gain: vars.zeros("gain", &[1, channels, 1, 1]),
            groups: norm_groups(channels),
        }))
    }

    fn cost(site: &Site, _: &NormConfig) -> Option<Cost> {
        let c = site.channels().unsigned_abs();
        Some(Cost { parameters: 3 * c, flops_per_position: 8 * c })
    }

    fn pytorch(_: &Site, _: &NormConfig) -> Option<String> {
        Some(include_str!("../pytorch/norm.py").to_owned())
    }
}

impl Seed for Norm {
    fn forward(&mut self, x: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        let normalised = group_norm(x, self.groups, &self.weight, &self.bias)?;
        lerp(x, &normalised, &self.gain.f_tanh()?)
    }
}

kasmina_plugin_api::register_blueprint!(Norm);
