//! The blueprint `norm` for sequences, `x + tanh(g) (LN(x) - x)`.

use crate::layer_norm::LayerNorm;
use kasmina_plugin_api::ops::lerp;
use kasmina_plugin_api::prelude::*;

/// `norm` has no settings.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NormConfig {}

/// A layer normalisation, interpolated with the features by one gain per channel that starts at 0. The gain
/// multiplies the difference between normalised and original features, so it learns in the first step, and
/// the norm from the second.
#[derive(Debug)]
pub struct Norm {
    norm: LayerNorm,
    gain: Tensor,
}

impl Blueprint for Norm {
    const INFO: EntryInfo = EntryInfo::new("norm", "x + tanh(g) * (LN(x) - x), g = 0 at birth")
        .topologies(&[Topology::TRANSFORMER])
        .capabilities(&[Capability::IdentityAtBirth]);
    type Config = NormConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, _: NormConfig) -> Result<Box<dyn Seed>> {
        let norm = LayerNorm::build(vars, site.channels())?;
        Ok(Box::new(Self { norm, gain: vars.zeros("gain", &[site.channels()]) }))
    }

    fn cost(site: &Site, _: &NormConfig) -> Option<Cost> {
        let c = site.channels().unsigned_abs();
        Some(Cost {
            parameters: (LayerNorm::PARAMETERS + 1) * c,
            flops_per_position: (LayerNorm::FLOPS + 4) * c,
        })
    }

    fn pytorch(_: &Site, _: &NormConfig) -> Option<String> {
        Some(include_str!("../pytorch/norm.py").to_owned())
    }
}

impl Seed for Norm {
    fn forward(&mut self, x: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        lerp(x, &self.norm.forward(x)?, &self.gain.f_tanh()?)
    }
}

kasmina_plugin_api::register_blueprint!(Norm);
