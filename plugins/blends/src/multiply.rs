//! `h (1 + a tanh(s - x))`: the seed turns the host's features up and down, never beyond double or nothing.

use crate::input::SeedInput;
use crate::precise::precisely;
use crate::ramp::Ramp;
use kasmina_plugin_api::prelude::*;

/// The settings of `multiply`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MultiplyConfig {
    /// The ramp of alpha.
    pub ramp: Ramp,
}

/// At alpha 1 the mixture is not the seed's features: the host's are its other factor for good.
#[derive(Debug)]
pub struct Multiply {
    ramp: Ramp,
    input: SeedInput,
}

impl Blend for Multiply {
    const INFO: EntryInfo = EntryInfo::new("multiply", "h (1 + a tanh(s - x)): the seed scales the host");
    type Config = MultiplyConfig;

    fn build(_: &nn::Path<'_>, _: &Site, config: MultiplyConfig) -> Result<Box<dyn Blender>> {
        Ok(Box::new(Self { ramp: config.ramp.check()?, input: SeedInput::default() }))
    }
}

impl Blender for Multiply {
    fn curve(&self, t: f64) -> f64 {
        self.ramp.at(t)
    }
    fn gate(&mut self, features: &Tensor, _: &Cx<'_>) -> Result<Option<Tensor>> {
        self.input.note(features);
        Ok(None)
    }
    fn mix(&mut self, host: &Tensor, seed: &Tensor, alpha: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        precisely(host, seed, alpha, |host, seed, alpha| scale(&self.input, host, seed, alpha))
    }
}

/// The operator.
pub(crate) fn scale(input: &SeedInput, host: &Tensor, seed: &Tensor, alpha: &Tensor) -> Result<Tensor> {
    let factor = seed.f_sub(&input.of(host))?.f_tanh()?.f_mul(alpha)?;
    Ok(host.f_addcmul(host, &factor)?)
}

kasmina_plugin_api::register_blend!(Multiply);
