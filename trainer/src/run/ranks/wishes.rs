//! What a rank wants to happen between two steps; all ranks do it together.

use serde::{Deserialize, Serialize};

/// What a rank wants to happen between two steps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::run) struct Wishes {
    /// The run is to stop, because the rank was asked to.
    pub(in crate::run) stop: bool,
    /// A checkpoint is due by the clock of rank 0.
    pub(in crate::run) save: bool,
    /// Slots whose seeds are to be pruned at the end of the epoch.
    pub(in crate::run) prunes: Vec<String>,
}
