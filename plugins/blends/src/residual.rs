//! `h + a (s - x)`: the seed's own contribution is added; the host's features always pass whole.

use crate::input::SeedInput;
use crate::precise::precisely;
use crate::ramp::Ramp;
use kasmina_plugin_api::prelude::*;

/// The settings of `residual`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResidualConfig {
    /// The ramp of alpha.
    pub ramp: Ramp,
}

/// By value a lerp. By gradient not: behind an isolated seed a lerp takes away from the layers before the slot what
/// alpha gives to the seed, all of it at alpha 1; here they keep the whole of it.
#[derive(Debug)]
pub struct Residual {
    ramp: Ramp,
    input: SeedInput,
}

impl Blend for Residual {
    const INFO: EntryInfo = EntryInfo::new("residual", "h + a (s - x): layers before keep their gradient")
        .capabilities(&[Capability::SeedAtOne]);
    type Config = ResidualConfig;

    fn build(_: &nn::Path<'_>, _: &Site, config: ResidualConfig) -> Result<Box<dyn Blender>> {
        Ok(Box::new(Self { ramp: config.ramp.check()?, input: SeedInput::default() }))
    }
}

impl Blender for Residual {
    fn curve(&self, t: f64) -> f64 {
        self.ramp.at(t)
    }
    fn gate(&mut self, features: &Tensor, _: &Cx<'_>) -> Result<Option<Tensor>> {
        self.input.note(features);
        Ok(None)
    }
    fn mix(&mut self, host: &Tensor, seed: &Tensor, alpha: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        precisely(host, seed, alpha, |host, seed, alpha| add(&self.input, host, seed, alpha))
    }
}

/// The operator.
pub(crate) fn add(input: &SeedInput, host: &Tensor, seed: &Tensor, alpha: &Tensor) -> Result<Tensor> {
    Ok(host.f_addcmul(&seed.f_sub(&input.of(host))?, alpha)?)
}

kasmina_plugin_api::register_blend!(Residual);
