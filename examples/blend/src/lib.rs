//! The blend `cautious`: each sample decides how much of the seed it takes.
//!
//! Alpha says how far a seed has come in for the whole network. A *gate* is a factor on it for each sample
//! (or each position of a sequence), computed from the features that the seed saw, and learned with the rest.
//! Shown here: variables of a blend, a gate that is almost open at birth, and why `SeedAtOne` is not
//! promised.

#![forbid(unsafe_code)]

use kasmina_plugin_api::prelude::*;

/// Settings of the blend `cautious`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "kasmina_plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "kasmina_plugin_api::schemars")]
pub struct CautiousConfig {
    /// How open the gate is at birth.
    #[schemars(range(min = 0.05, max = 0.99))]
    pub open: f64,
}

impl Default for CautiousConfig {
    fn default() -> Self {
        Self { open: 0.9 }
    }
}

/// `sigmoid(w . features + b)`.
#[derive(Debug)]
pub struct Cautious {
    weight: Tensor,
    bias: Tensor,
    sequence: bool,
}

impl Blend for Cautious {
    // No `SeedAtOne`: at alpha 1 the mixture is the seed's features times the gate, and the host's for the
    // rest.
    const INFO: EntryInfo = EntryInfo::new("cautious", "a learned gate per sample, almost open at birth")
        .topologies(&[Topology::CNN, Topology::TRANSFORMER]);
    type Config = CautiousConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, config: CautiousConfig) -> Result<Box<dyn Blender>> {
        let open = config.open;
        if !(0.05..=0.99).contains(&open) {
            return Err(PluginError::config(format!("open {open} is not in 0.05..=0.99")));
        }
        Ok(Box::new(Self {
            // Zero is no dead end: the gradient of a weight is the feature behind it.
            weight: vars.zeros("weight", &[1, site.channels()]),
            bias: vars.var("bias", &[1], nn::Init::Const((open / (1.0 - open)).ln())),
            sequence: site.topology() == Topology::TRANSFORMER,
        }))
    }
}

impl Blender for Cautious {
    fn gate(&mut self, features: &Tensor, _: &Cx<'_>) -> Result<Option<Tensor>> {
        // Of a sequence each position decides for itself: a mean over it would let positions see later ones.
        if self.sequence {
            return Ok(Some(features.f_linear(&self.weight, Some(&self.bias))?.f_sigmoid()?));
        }
        let mean = features.f_mean_dim([2, 3].as_slice(), false, None)?;
        let gate = mean.f_linear(&self.weight, Some(&self.bias))?.f_sigmoid()?;
        // [N, 1, 1, 1]: of the rank of the features.
        Ok(Some(gate.f_unsqueeze(-1)?.f_unsqueeze(-1)?))
    }
}

kasmina_plugin_api::register_blend!(Cautious);
kasmina_plugin_api::export_plugin!();

#[cfg(test)]
mod tests {
    use super::*;
    use kasmina_plugin_api::tch::{Device, Kind};

    #[test]
    fn it_is_as_open_at_birth_as_was_asked_for() {
        let vars = nn::VarStore::new(Device::Cpu);
        let site = Site::new(Topology::CNN, 4);
        let mut blend = Cautious::build(&vars.root(), &site, CautiousConfig { open: 0.75 }).unwrap();
        let x = Tensor::randn([3, 4, 2, 2], (Kind::Float, Device::Cpu));
        let gate = blend.gate(&x, &Cx::new(Mode::Train, 0, "early")).unwrap().unwrap();
        assert_eq!(gate.size(), [3, 1, 1, 1]);
        assert!(gate.allclose(&gate.full_like(0.75), 1e-5, 1e-6, false));
    }
}
