//! The optimizer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The optimizer of host and seeds: `AdamW`, constant rate, then linear down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Number of samples of a step.
    #[schemars(range(min = 1))]
    pub batch_size: u32,
    /// Learning rate at the beginning.
    #[schemars(range(min = 0.0, max = 1e3))]
    pub learning_rate: f64,
    /// Coefficient of decoupled weight decay.
    #[schemars(range(min = 0.0, max = 1e3))]
    pub weight_decay: f64,
    /// The part of the run for which the rate is constant.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub hold_fraction: f64,
    /// What is left of the rate at the end.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub final_fraction: f64,
    /// The seeds' rate as a factor on the host's.
    #[schemars(range(min = 0.0, max = 1e3))]
    pub seed_rate: f64,
    /// The factor on that while a seed's alpha is 0. Behind the straight-through estimator it follows the
    /// gradient at the host's own output, and never hears what it gives itself: small steps stay where that
    /// gradient holds.
    #[schemars(range(min = 0.0, max = 1e3))]
    pub incubation_rate: f64,
    /// Steps over which a new seed's rate rises to it.
    pub seed_warm_up: u32,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            batch_size: 64,
            learning_rate: 1e-2,
            weight_decay: 0.01,
            hold_fraction: 0.6,
            final_fraction: 0.02,
            seed_rate: 1.0,
            incubation_rate: 0.1,
            seed_warm_up: 0,
        }
    }
}
