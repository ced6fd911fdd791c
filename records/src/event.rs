//! The lines of `events.jsonl`.

use kasmina_lifecycle::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventLine {
    /// At the end of this epoch.
    pub epoch: u32,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}
