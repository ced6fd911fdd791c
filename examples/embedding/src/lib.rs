//! The plugin of the program in `main.rs`: a host, a blueprint and a blend.
//!
//! The features are vectors `[N, C]`, which are neither of Kasmina's own topologies. A plugin may define a
//! topology of its own, with a host that uses it and blueprints that serve it.

#![forbid(unsafe_code)]

use kasmina_plugin_api::prelude::*;
use kasmina_plugin_api::tch::nn::Module;

/// Topology of features with one vector per sample: `[batch, channels]`.
pub const VECTORS: Topology = Topology::new("vectors");

/// A configuration without settings.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(crate = "kasmina_plugin_api::serde", deny_unknown_fields)]
#[schemars(crate = "kasmina_plugin_api::schemars")]
pub struct NoConfig {}

/// The host `points`: two narrow layers, with a slot after each, and three classes.
#[derive(Debug)]
pub struct Points {
    layers: [nn::Linear; 2],
    head: nn::Linear,
}

/// Number of channels of both layers.
const WIDTH: i64 = 6;

impl Host for Points {
    const INFO: EntryInfo = EntryInfo::new("points", "two narrow layers").topologies(&[VECTORS]);
    type Config = NoConfig;

    fn build(vars: &nn::Path<'_>, _: NoConfig) -> Result<Box<dyn HostModule>> {
        let plain = nn::LinearConfig::default();
        Ok(Box::new(Self {
            layers: [
                nn::linear(vars / "layer0", 2, WIDTH, plain),
                nn::linear(vars / "layer1", WIDTH, WIDTH, plain),
            ],
            head: nn::linear(vars / "head", WIDTH, 3, plain),
        }))
    }
}

impl HostModule for Points {
    fn slots(&self) -> Vec<SlotSpec> {
        vec![SlotSpec::new("layer0", VECTORS, WIDTH), SlotSpec::new("layer1", VECTORS, WIDTH)]
    }

    fn forward(&mut self, x: &Tensor, taps: &mut Taps<'_>) -> Result<Tensor> {
        let mut x = x.shallow_clone();
        for (slot, layer) in self.layers.iter().enumerate() {
            x = taps.at(slot, layer.forward(&x).f_tanh()?)?;
        }
        Ok(self.head.forward(&x))
    }
}

/// The blueprint `wide`: `x + g * narrow(gelu(widen(x)))`.
#[derive(Debug)]
pub struct Wide {
    widen: nn::Linear,
    narrow: nn::Linear,
    gain: Tensor,
}

impl Blueprint for Wide {
    const INFO: EntryInfo = EntryInfo::new("wide", "a wide hidden layer, g = 0 at birth")
        .topologies(&[VECTORS])
        .capabilities(&[Capability::IdentityAtBirth]);
    type Config = NoConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, _: NoConfig) -> Result<Box<dyn Seed>> {
        let (channels, plain) = (site.channels(), nn::LinearConfig::default());
        Ok(Box::new(Self {
            widen: nn::linear(vars / "widen", channels, 32, plain),
            narrow: nn::linear(vars / "narrow", 32, channels, plain),
            gain: vars.zeros("gain", &[channels]),
        }))
    }
}

impl Seed for Wide {
    fn forward(&mut self, x: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        let branch = self.narrow.forward(&self.widen.forward(x).f_gelu("none")?);
        Ok(x.f_addcmul(&branch, &self.gain)?)
    }
}

/// The blend `ramp`: a linear ramp. The program swaps this blend for that of a new build while the model
/// trains.
#[derive(Debug)]
pub struct Ramp;

impl Blend for Ramp {
    const INFO: EntryInfo = EntryInfo::new("ramp", "a linear ramp").capabilities(&[Capability::SeedAtOne]);
    type Config = NoConfig;

    fn build(_: &nn::Path<'_>, _: &Site, _: NoConfig) -> Result<Box<dyn Blender>> {
        Ok(Box::new(Self))
    }
}

impl Blender for Ramp {}

kasmina_plugin_api::register_host!(Points);
kasmina_plugin_api::register_blueprint!(Wide);
kasmina_plugin_api::register_blend!(Ramp);
kasmina_plugin_api::export_plugin!();
