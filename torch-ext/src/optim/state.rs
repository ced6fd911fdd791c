//! The numbers that an optimizer keeps between two steps.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The numbers that an optimizer keeps between two steps. Its tensors go by
/// [`Optimizer::state_tensors`](super::Optimizer::state_tensors).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerState {
    /// Learning rate before the factors of groups.
    pub learning_rate: f64,
    /// State of each group of parameters, by owner.
    pub groups: BTreeMap<String, GroupState>,
    /// Steps that owners had skipped when they left.
    pub departed: BTreeMap<String, u64>,
}

/// The numbers that one group keeps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupState {
    /// Factor on the learning rate.
    pub scale: f64,
    /// Steps over which the rate rises.
    pub warm_up: u32,
    /// Steps of the warm-up that were made.
    pub warmed: u32,
}
