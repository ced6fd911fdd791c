//! Scalar state of an optimizer.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Scalar state of an optimizer. [`Optimizer::state_tensors`](super::Optimizer::state_tensors) returns its
/// tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerState {
    /// Learning rate before the factors of groups.
    pub learning_rate: f64,
    /// State of each group of parameters, by owner.
    pub groups: BTreeMap<String, GroupState>,
    /// Number of steps that each removed owner had skipped.
    pub departed: BTreeMap<String, u64>,
}

/// Scalar state of one group.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupState {
    /// Factor on the learning rate.
    pub scale: f64,
    /// Steps over which the rate rises; 0 for no warm-up.
    pub warm_up: u32,
    /// Steps of the warm-up already made.
    pub warmed: u32,
}
