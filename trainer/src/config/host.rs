//! Which host, and how it is configured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which host, and how it is configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HostConfig {
    /// Id of the host: `cnn` or `plugin::cnn`.
    pub id: String,
    /// Its configuration; the task's own where nothing is said.
    pub config: serde_json::Map<String, serde_json::Value>,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self { id: "cnn".to_owned(), config: serde_json::Map::new() }
    }
}
