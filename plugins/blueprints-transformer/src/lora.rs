//! The blueprint `lora`, `x + (alpha / rank) U D x`: a change of low rank.

use kasmina_plugin_api::prelude::*;

/// Settings of the blueprint `lora`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank: the width between the two matrices.
    #[schemars(range(min = 1, max = 4096))]
    pub rank: i64,
    /// The change is scaled by `alpha / rank`, so the learning rate need not be adapted to the rank.
    #[schemars(range(min = 0.001, max = 1000.0))]
    pub alpha: f64,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self { rank: 8, alpha: 8.0 }
    }
}

/// Two matrices without bias. `U` starts at 0 and `D` does not, so `U` learns in the first step, and `D`
/// from the second.
#[derive(Debug)]
pub struct Lora {
    down: nn::Linear,
    up: nn::Linear,
    scale: f64,
}

impl Blueprint for Lora {
    const INFO: EntryInfo = EntryInfo::new("lora", "x + alpha/rank * U D x, U = 0 at birth")
        .topologies(&[Topology::TRANSFORMER])
        .capabilities(&[Capability::IdentityAtBirth]);
    type Config = LoraConfig;

    fn build(vars: &nn::Path<'_>, site: &Site, config: LoraConfig) -> Result<Box<dyn Seed>> {
        let LoraConfig { rank, alpha } = config;
        if !(1..=4096).contains(&rank) {
            return Err(PluginError::config(format!("rank {rank} is not in 1..=4096")));
        }
        if !(0.001..=1000.0).contains(&alpha) {
            return Err(PluginError::config(format!("alpha {alpha} is not in 0.001..=1000")));
        }
        let channels = site.channels();
        let matrix = nn::LinearConfig { bias: false, ..Default::default() };
        let zero = nn::LinearConfig { ws_init: nn::Init::Const(0.0), ..matrix };
        Ok(Box::new(Self {
            down: nn::linear(vars / "down", channels, rank, matrix),
            up: nn::linear(vars / "up", rank, channels, zero),
            scale: alpha / rank as f64,
        }))
    }

    fn cost(site: &Site, config: &LoraConfig) -> Option<Cost> {
        let (c, rank) = (site.channels().unsigned_abs(), config.rank.clamp(1, 4096).unsigned_abs());
        Some(Cost { parameters: 2 * c * rank, flops_per_position: 2 * c * rank + rank + c })
    }

    fn pytorch(_: &Site, _: &LoraConfig) -> Option<String> {
        Some(include_str!("../pytorch/lora.py").to_owned())
    }
}

impl Seed for Lora {
    fn forward(&mut self, x: &Tensor, _: &Cx<'_>) -> Result<Tensor> {
        // Scales the narrow features, which are the fewest numbers.
        let narrow = x.f_linear(&self.down.ws, None::<&Tensor>)?.f_mul_scalar(self.scale)?;
        Ok(x.f_add(&narrow.f_linear(&self.up.ws, None::<&Tensor>)?)?)
    }
}

kasmina_plugin_api::register_blueprint!(Lora);
