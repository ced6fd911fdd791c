//! What a run remembers of numbers that were NaN or infinite.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How long seeds have been unhealthy. Lasts between two steps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Health {
    /// By slot: its seed, and epochs in a row that the seed was unhealthy in.
    pub(super) unhealthy: BTreeMap<String, (String, u32)>,
    /// Whether the validation loss of the newest epoch was NaN or infinite.
    pub(super) broken: bool,
    /// Whether the run has gone back to a checkpoint because its host had become NaN or infinite.
    pub(super) rolled_back: bool,
}
