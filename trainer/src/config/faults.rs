//! What a run does about numbers that are not finite.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a run does when its host has become NaN or infinite.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnNonFinite {
    /// It goes back to the last whole checkpoint from before that epoch, once; the second time it ends with
    /// an error. Where nothing is saved it ends at once.
    #[default]
    Rollback,
    /// It ends with an error.
    Stop,
}
