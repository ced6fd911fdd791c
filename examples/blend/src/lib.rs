//! The blend `cautious`: a learned gate decides for each sample how much of the seed's output is used.
//!
//! Alpha is the weight of a seed for the whole network. A *gate* is a factor on alpha for each sample (or
//! each position of a sequence), computed from the input of the seed and trained with the network. This
//! example shows a blend with variables, a gate that is almost open at first, and why such a blend does not
//! declare `SeedAtOne`.

#![forbid(unsafe_code)]

use kasmina_plugin_api::prelude::*;

/// Settings of the blend `cautious`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "kasmina_plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "kasmina_plugin_api::schemars")]
pub struct CautiousConfig {
    /// Value of the gate in a fresh blend.
    #[schemars(range(min = 0.05, max = 0.99))]
    pub open: f64,
}

impl Default for CautiousConfig {
    fn default() -> Self {
        Self { open: 0.9 }
    }
}

/// Factory and blender: a blend with the gate `sigmoid(w · features + b)`.
#[derive(Debug)]
pub struct Cautious {
    weight: Tensor,
    bias: Tensor,
    sequence: bool,
}

impl Blend for Cautious {
    // No `SeedAtOne`: at alpha 1 the mixture is `gate * seed + (1 - gate) * host`.
    const INFO: EntryInfo = EntryInfo::new("cautious", "a learned gate per sample, almost open at birth")
        .topologies(&[Topology::CNN, Topology::TRANSFORMER]);
    type Config = CautiousConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, config: CautiousConfig) -> Result<Box<dyn Blender>> {
        let open = config.open;
        if !(0.05..=0.99).contains(&open) {
            return Err(PluginError::config(format!("open {open} is not in 0.05..=0.99")));
        }
        Ok(Box::new(Self {
            // Zero does not stop training: the gradient of a weight depends on its feature, not on the
            // weight.
            weight: vars.zeros("weight", &[1, site.channels()]),
            bias: vars.var("bias", &[1], nn::Init::Const((open / (1.0 - open)).ln())),
            sequence: site.topology() == Topology::TRANSFORMER,
        }))
    }
}

impl Blender for Cautious {
    fn gate(&mut self, features: &Tensor, _: &Cx<'_>) -> Result<Option<Tensor>> {
        // One gate per position: a gate from the mean of a sequence would depend on later positions.
        if self.sequence {
            return Ok(Some(features.f_linear(&self.weight, Some(&self.bias))?.f_sigmoid()?));
        }
        let mean = features.f_mean_dim([2, 3].as_slice(), false, None)?;
        let gate = mean.f_linear(&self.weight, Some(&self.bias))?.f_sigmoid()?;
        // [N, 1, 1, 1]: as many dimensions as the features.
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
    fn a_fresh_gate_has_the_configured_value() {
        let vars = nn::VarStore::new(Device::Cpu);
        let site = Site::new(Topology::CNN, 4);
        let mut blend = Cautious::build(&vars.root(), &site, CautiousConfig { open: 0.75 }).unwrap();
        let x = Tensor::randn([3, 4, 2, 2], (Kind::Float, Device::Cpu));
        let gate = blend.gate(&x, &Cx::new(Mode::Train, 0, "early")).unwrap().unwrap();
        assert_eq!(gate.size(), [3, 1, 1, 1]);
        assert!(gate.allclose(&gate.full_like(0.75), 1e-5, 1e-6, false));
    }
}
