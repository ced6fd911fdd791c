//! The blends `residual` and `multiply`, whose operators use the seed's input.

use crate::input::SeedInput;
use crate::operator::Operator;
use crate::ramp::Ramp;
use kasmina_plugin_api::prelude::*;

/// Settings of a blend with a fixed operator.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RampConfig {
    /// Ramp of alpha.
    pub ramp: Ramp,
}

/// A blender without a gate.
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
        self.input.record(features);
        Ok(None)
    }
    fn mix(&mut self, host: &Tensor, seed: &Tensor, alpha: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        self.operator.mix(&self.input, host, seed, alpha)
    }
}

/// The blend `h + a (s - x)`, which adds the seed's own contribution. Its values equal those of a lerp, but
/// not its gradients: with an isolated seed, a lerp multiplies the gradient of the layers before the slot by
/// `1 - a`, which is 0 at alpha 1. Here these layers keep the whole gradient.
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

/// The blend `h (1 + a tanh(s - x))`, in which the seed scales the host's features by a factor between 0 and
/// 2. At alpha 1 the mixture does not equal the seed's output, because the host's features remain a factor.
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
