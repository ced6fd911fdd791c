//! The operators that look at what the seed saw, without a gate.

use crate::input::SeedInput;
use crate::operator::Operator;
use crate::ramp::Ramp;
use kasmina_plugin_api::prelude::*;

/// The settings of a blend whose operator is fixed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RampConfig {
    /// Ramp of alpha.
    pub ramp: Ramp,
}

struct Ungated {
    operator: Operator,
    ramp: Ramp,
    input: SeedInput,
}

impl Ungated {
    fn make(operator: Operator, config: &RampConfig) -> Result<Box<dyn Blender>> {
        Ok(Box::new(Self { operator, ramp: config.ramp.check()?, input: SeedInput::default() }))
    }
}

impl Blender for Ungated {
    fn curve(&self, t: f64) -> f64 {
        self.ramp.at(t)
    }
    fn gate(&mut self, features: &Tensor, _: &Cx<'_>) -> Result<Option<Tensor>> {
        self.input.note(features);
        Ok(None)
    }
    fn mix(&mut self, host: &Tensor, seed: &Tensor, alpha: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        self.operator.mix(&self.input, host, seed, alpha)
    }
}

/// `h + a (s - x)`: the seed's own contribution is added. By value a lerp. By gradient not: behind an
/// isolated seed a lerp takes away from the layers before the slot what alpha gives to the seed, all of it at
/// alpha 1; here they keep the whole of it.
#[derive(Debug)]
pub struct Residual;

impl Blend for Residual {
    const INFO: EntryInfo = EntryInfo::new("residual", "h + a (s - x): layers before keep their gradient")
        .capabilities(&[Capability::SeedAtOne]);
    type Config = RampConfig;

    fn build(_: &nn::Path<'_>, _: &Site, config: RampConfig) -> Result<Box<dyn Blender>> {
        Ungated::make(Operator::Residual, &config)
    }

    fn pytorch(_: &Site, _: &RampConfig) -> Option<String> {
        Some(include_str!("../pytorch/residual.py").to_owned())
    }
}

/// `h (1 + a tanh(s - x))`: the seed turns the host's features up and down, never beyond double or nothing.
/// At alpha 1 the mixture is not the seed's features: the host's are its other factor for good.
#[derive(Debug)]
pub struct Multiply;

impl Blend for Multiply {
    const INFO: EntryInfo = EntryInfo::new("multiply", "h (1 + a tanh(s - x)): the seed scales the host");
    type Config = RampConfig;

    fn build(_: &nn::Path<'_>, _: &Site, config: RampConfig) -> Result<Box<dyn Blender>> {
        Ungated::make(Operator::Multiply, &config)
    }

    fn pytorch(_: &Site, _: &RampConfig) -> Option<String> {
        Some(include_str!("../pytorch/multiply.py").to_owned())
    }
}

kasmina_plugin_api::register_blend!(Residual);
kasmina_plugin_api::register_blend!(Multiply);
