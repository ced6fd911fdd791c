//! Seeds that are put in whole, past every gate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A seed that is put in whole, past every gate: for controls that growth is compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlantConfig {
    /// The slot, by name or alias.
    pub slot: String,
    /// At the end of this epoch; 0 is before the first.
    #[serde(default)]
    pub epoch: u32,
    /// The blueprint's id; the run's own where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blueprint: Option<String>,
}
