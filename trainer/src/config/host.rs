//! The host network and its configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The host network and its configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HostConfig {
    /// Id of the host: `cnn` or `plugin::cnn`.
    pub id: String,
    /// Configuration of the host, by the keys of its schema. Facts of the task's data fill in missing keys.
    pub config: serde_json::Map<String, serde_json::Value>,
    /// Whether only seeds and blends learn, and the weights of the host stay as they are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self { id: "cnn".to_owned(), config: serde_json::Map::new(), frozen: false }
    }
}
