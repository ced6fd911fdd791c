//! Rows of `events.jsonl`.

use kasmina_lifecycle::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Name of the file of events in a run directory.
pub const EVENTS: &str = "events.jsonl";

/// One event, as written to `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventLine {
    /// Epoch of the event, counted from 1.
    pub epoch: u32,
    /// Event of the lifecycle or the model.
    #[serde(flatten)]
    pub event: Event,
}
