//! State of a run about NaN and infinite values.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How long seeds have been unhealthy, and the state of the host. Saved in checkpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Health {
    /// By slot: the id of its seed, and the number of consecutive epochs in which the seed was unhealthy.
    pub(super) unhealthy: BTreeMap<String, (String, u32)>,
    /// Whether the validation loss of the newest epoch was NaN or infinite.
    pub(super) broken: bool,
    /// Whether the run has gone back to a checkpoint because the host's outputs were NaN or infinite.
    pub(super) rolled_back: bool,
}
