//! What an epoch was worth to a learned controller.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The terms of one epoch's reward.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Reward {
    /// Reward for gates that passed.
    pub gate_passage: f64,
    /// Reward for seeds that were fossilized.
    pub fossilization: f64,
    /// Seeds pruned; at most 0.
    pub pruning: f64,
    /// What the running seeds cost; at most 0.
    pub compute_rent: f64,
}

impl Reward {
    /// The sum of the terms.
    pub fn total(&self) -> f64 {
        self.gate_passage + self.fossilization + self.pruning + self.compute_rent
    }
}
