//! The blueprints `mlp` and `mlp_small`, `x + W2 gelu(W1 LN(x))`.

use crate::layer_norm::LayerNorm;
use kasmina_plugin_api::prelude::*;

/// Settings of the blueprint `mlp`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MlpConfig {
    /// The hidden width is `expansion` times the channels.
    #[schemars(range(min = 1, max = 16))]
    pub expansion: i64,
}

impl Default for MlpConfig {
    fn default() -> Self {
        Self { expansion: 4 }
    }
}

/// `mlp_small` has no settings.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MlpSmallConfig {}

/// Two linear layers over normalised features. `W2` and its bias start at 0 and the hidden features are not
/// 0, so `W2` learns in the first step, and the other layers from the second.
#[derive(Debug)]
struct Layers {
    norm: LayerNorm,
    expand: nn::Linear,
    contract: nn::Linear,
}

impl Layers {
    fn build(vars: &nn::Path<'_>, channels: i64, expansion: i64) -> Result<Box<dyn Seed>> {
        let (norm, hidden) = (LayerNorm::build(&(vars / "norm"), channels)?, expansion * channels);
        let zero = nn::LinearConfig {
            ws_init: nn::Init::Const(0.0),
            bs_init: Some(nn::Init::Const(0.0)),
            bias: true,
        };
        Ok(Box::new(Self {
            norm,
            expand: nn::linear(vars / "expand", channels, hidden, nn::LinearConfig::default()),
            contract: nn::linear(vars / "contract", hidden, channels, zero),
        }))
    }

    fn cost(channels: i64, expansion: i64) -> Cost {
        let (c, hidden) = (channels.unsigned_abs(), (expansion * channels).unsigned_abs());
        Cost {
            parameters: 2 * c * hidden + hidden + (LayerNorm::PARAMETERS + 1) * c,
            flops_per_position: 2 * c * hidden + hidden + (LayerNorm::FLOPS + 1) * c,
        }
    }
}

impl Seed for Layers {
    fn forward(&mut self, x: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        let hidden = self.norm.forward(x)?.f_linear(&self.expand.ws, self.expand.bs.as_ref())?;
        let change = hidden.f_gelu("none")?.f_linear(&self.contract.ws, self.contract.bs.as_ref())?;
        Ok(x.f_add(&change)?)
    }
}

/// An MLP whose hidden layer has by default four times the channels, as in most transformers.
#[derive(Debug)]
pub struct Mlp;

impl Blueprint for Mlp {
    const INFO: EntryInfo = EntryInfo::new("mlp", "x + W2 gelu(W1 LN(x)), 4 times as wide, W2 = 0 at birth")
        .topologies(&[Topology::TRANSFORMER])
        .capabilities(&[Capability::IdentityAtBirth]);
    type Config = MlpConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, config: MlpConfig) -> Result<Box<dyn Seed>> {
        if !(1..=16).contains(&config.expansion) {
            return Err(PluginError::config(format!("expansion {} is not in 1..=16", config.expansion)));
        }
        Layers::build(vars, site.channels(), config.expansion)
    }

    fn cost(site: &Site, config: &MlpConfig) -> Option<Cost> {
        Some(Layers::cost(site.channels(), config.expansion.clamp(1, 16)))
    }

    fn pytorch(_: &Site, _: &MlpConfig) -> Option<String> {
        Some(include_str!("../pytorch/mlp.py").to_owned())
    }
}

/// An MLP whose hidden layer has twice the channels.
#[derive(Debug)]
pub struct MlpSmall;

impl MlpSmall {
    const EXPANSION: i64 = 2;
}

impl Blueprint for MlpSmall {
    const INFO: EntryInfo =
        EntryInfo::new("mlp_small", "x + W2 gelu(W1 LN(x)), twice as wide, W2 = 0 at birth")
            .topologies(&[Topology::TRANSFORMER])
            .capabilities(&[Capability::IdentityAtBirth]);
    type Config = MlpSmallConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, _: MlpSmallConfig) -> Result<Box<dyn Seed>> {
        Layers::build(vars, site.channels(), Self::EXPANSION)
    }

    fn cost(site: &Site, _: &MlpSmallConfig) -> Option<Cost> {
        Some(Layers::cost(site.channels(), Self::EXPANSION))
    }

    fn pytorch(_: &Site, _: &MlpSmallConfig) -> Option<String> {
        Some(include_str!("../pytorch/mlp_small.py").to_owned())
    }
}

kasmina_plugin_api::register_blueprint!(Mlp);
kasmina_plugin_api::register_blueprint!(MlpSmall);
