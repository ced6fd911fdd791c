//! Settings of the optimizer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the optimizer of host and seeds: `AdamW` with a learning rate that is constant, then falls
/// linearly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Number of samples of a training step.
    #[schemars(range(min = 1))]
    pub batch_size: u32,
    /// Number of parts of a batch that are computed one after another, for batches that do not fit into
    /// memory. Their gradients are added up.
    #[serde(skip_serializing_if = "is_one")]
    #[schemars(range(min = 1, max = 65536))]
    pub accumulation: u32,
    /// Learning rate of the host at the beginning.
    #[schemars(range(min = 0.0, max = 1e3))]
    pub learning_rate: f64,
    /// Coefficient of decoupled weight decay.
    #[schemars(range(min = 0.0, max = 1e3))]
    pub weight_decay: f64,
    /// Fraction of the run during which the learning rate is constant.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub hold_fraction: f64,
    /// Learning rate at the end, as a fraction of `learning_rate`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub final_fraction: f64,
    /// Learning rate of the seeds, as a factor on the host's.
    #[schemars(range(min = 0.0, max = 1e3))]
    pub seed_rate: f64,
    /// Further factor on a seed's learning rate while its alpha is 0. Behind the straight-through estimator
    /// the gradient is taken at the host's output and ignores the seed's own contribution, so it is valid
    /// only for small steps.
    #[schemars(range(min = 0.0, max = 1e3))]
    pub incubation_rate: f64,
    /// Steps over which the learning rate of a new seed rises to its value.
    pub seed_warm_up: u32,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            batch_size: 64,
            accumulation: 1,
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(n: &u32) -> bool {
    *n == 1
}
