//! The reward of an epoch for a learned controller.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Terms of one epoch's reward.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Reward {
    /// Reward for seeds that advanced a stage; negative if seeds fell back or were pruned.
    pub gate_passage: f64,
    /// Reward for seeds that were fossilized.
    pub fossilization: f64,
    /// Penalty for pruned seeds; at most 0.
    pub pruning: f64,
    /// Penalty for the parameters of running seeds; at most 0.
    pub compute_rent: f64,
}

impl Reward {
    /// Sum of the terms.
    pub fn total(&self) -> f64 {
        self.gate_passage + self.fossilization + self.pruning + self.compute_rent
    }
}
