//! The blueprint `attention`: squeeze and excitation, `x * 2 sigmoid(W2 gelu(W1 mean(x)))`.

use kasmina_plugin_api::prelude::*;
use tch::nn::Module;

/// Settings of the blueprint `attention`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AttentionConfig {
    /// The squeezed width is `channels / reduction`, at least 4.
    #[schemars(range(min = 1))]
    pub reduction: i64,
}

impl Default for AttentionConfig {
    fn default() -> Self {
        Self { reduction: 4 }
    }
}

/// Multiplies the features by one factor per sample and channel, computed from the globally pooled features.
/// `W2` and its bias start at 0, so every factor starts at `2 sigmoid(0) = 1`. The squeezed features are not
/// 0, so `W2` learns in the first step.
#[derive(Debug)]
pub struct Attention {
    squeeze: nn::Linear,
    excite: nn::Linear,
}

impl Attention {
    fn width(channels: i64, reduction: i64) -> i64 {
        (channels / reduction).max(4)
    }
}

impl Blueprint for Attention {
    const INFO: EntryInfo = EntryInfo::new("attention", "squeeze and excitation, factor 1 at birth")
        .topologies(&[Topology::CNN])
        .capabilities(&[Capability::IdentityAtBirth]);
    type Config = AttentionConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, config: AttentionConfig) -> Result<Box<dyn Seed>> {
        if config.reduction < 1 {
            return Err(PluginError::config(format!("reduction {} is not at least 1", config.reduction)));
        }
        let (channels, width) = (site.channels(), Self::width(site.channels(), config.reduction));
        let zero = nn::LinearConfig {
            ws_init: nn::Init::Const(0.0),
            bs_init: Some(nn::Init::Const(0.0)),
            bias: true,
        };
        Ok(Box::new(Self {
            squeeze: nn::linear(vars / "squeeze", channels, width, nn::LinearConfig::default()),
            excite: nn::linear(vars / "excite", width, channels, zero),
        }))
    }

    fn cost(site: &Site, config: &AttentionConfig) -> Option<Cost> {
        let (c, w) = (site.channels(), Self::width(site.channels(), config.reduction.max(1)));
        let parameters = (c * w + w + w * c + c).unsigned_abs();
        Some(Cost { parameters, flops_per_position: 2 * c.unsigned_abs() })
    }

    fn pytorch(_: &Site, _: &AttentionConfig) -> Option<String> {
        Some(include_str!("../pytorch/attention.py").to_owned())
    }
}

impl Seed for Attention {
    fn forward(&mut self, x: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        let pooled = x.f_mean_dim([2, 3].as_slice(), false, None)?;
        let excited = self.excite.forward(&self.squeeze.forward(&pooled).f_gelu("none")?);
        let factor = (excited.f_sigmoid()? * 2.0).f_unsqueeze(-1)?.f_unsqueeze(-1)?;
        Ok(x.f_mul(&factor)?)
    }
}

kasmina_plugin_api::register_blueprint!(Attention);
