//! A learned gate: how much of the seed does this sample take?

use crate::input::SeedInput;
use crate::operator::Operator;
use crate::ramp::Ramp;
use kasmina_plugin_api::prelude::*;
use tch::nn::Module;

/// Where the gate stands at birth, before the sigmoid: at 0.953 for every sample, so that the seed's whole
/// influence can be reached, and on a slope that a gradient can climb.
const OPEN: f64 = 3.0;

/// Settings of the blend `gated`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GatedConfig {
    /// How the gated seed is mixed in.
    pub operator: Operator,
    /// Ramp of alpha.
    pub ramp: Ramp,
}

/// `g(x) = sigmoid(W2 relu(W1 p(x) + b1) + b2)`: of feature maps `p` is the mean over all positions, and
/// there is one gate per sample; of a sequence it is the position itself, and there is one gate per position,
/// which sees no other. `W2` is 0 at birth and `relu(W1 ..)` is not.
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
            bs_init: Some(nn::Init::Const(OPEN)),
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
        self.input.note(features);
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
