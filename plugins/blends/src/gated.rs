//! The blend `gated`, which multiplies alpha by a learned gate.

use crate::input::SeedInput;
use crate::operator::Operator;
use crate::ramp::Ramp;
use kasmina_plugin_api::prelude::*;
use tch::nn::Module;

/// Initial bias of the gate before the sigmoid. The gate starts at 0.953 for every sample: nearly open, and
/// not so saturated that its gradient vanishes.
const INITIAL_BIAS: f64 = 3.0;

/// Settings of the blend `gated`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GatedConfig {
    /// Operator that mixes the gated seed in.
    pub operator: Operator,
    /// Ramp of alpha.
    pub ramp: Ramp,
}

/// The gate is `g(x) = sigmoid(W2 relu(W1 p(x) + b1) + b2)`. For feature maps `p` is the mean over all
/// positions, with one gate per sample. For sequences `p` is the identity, with one gate per position that
/// depends on that position only. `W2` is 0 at birth and `relu(W1 ...)` is not, so `W2` learns in the first
/// step.
#[derive(Debug)]
pub struct Gated {
    squeeze: nn::Linear,
    decide: nn::Linear,
    sequence: bool,
    operator: Operator,
    ramp: Ramp,
    input: SeedInput,
}

impl Blend for Gated {
    const INFO: EntryInfo = EntryInfo::new("gated", "a learned gate per sample or position times alpha");
    type Config = GatedConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, config: GatedConfig) -> Result<Box<dyn Blender>> {
        let channels = site.channels();
        let width = (channels / 4).max(8);
        let decide = nn::LinearConfig {
            ws_init: nn::Init::Const(0.0),
            bs_init: Some(nn::Init::Const(INITIAL_BIAS)),
            bias: true,
        };
        Ok(Box::new(Self {
            squeeze: nn::linear(vars / "squeeze", channels, width, nn::LinearConfig::default()),
            decide: nn::linear(vars / "decide", width, 1, decide),
            sequence: site.topology() == Topology::TRANSFORMER,
            operator: config.operator,
            ramp: config.ramp.check()?,
            input: SeedInput::default(),
        }))
    }

    fn pytorch(_: &Site, _: &GatedConfig) -> Option<String> {
        Some(include_str!("../pytorch/gated.py").to_owned())
    }
}

impl Blender for Gated {
    fn curve(&self, t: f64) -> f64 {
        self.ramp.at(t)
    }

    fn gate(&mut self, features: &Tensor, _: &Cx<'_>) -> Result<Option<Tensor>> {
        self.input.record(features);
        let pooled = if self.sequence {
            features.shallow_clone()
        } else {
            features.f_mean_dim([2, 3].as_slice(), false, None)?
        };
        let gate = self.decide.forward(&self.squeeze.forward(&pooled).f_relu()?).f_sigmoid()?;
        Ok(Some(if self.sequence { gate } else { gate.f_unsqueeze(-1)?.f_unsqueeze(-1)? }))
    }

    fn mix(&mut self, host: &Tensor, seed: &Tensor, alpha: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        self.operator.mix(&self.input, host, seed, alpha)
    }
}

kasmina_plugin_api::register_blend!(Gated);
