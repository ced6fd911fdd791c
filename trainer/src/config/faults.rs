//! What a run does when its host's outputs are NaN or infinite.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a run does when its host's outputs are NaN or infinite.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnNonFinite {
    /// Goes back to the last usable checkpoint before that epoch, once. The second time, or if the run writes
    /// no checkpoints, the run ends with an error.
    #[default]
    Rollback,
    /// Ends with an error.
    Stop,
}
