//! Seeds that are fossilized as soon as they germinate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A seed that is fossilized as soon as it germinates, without stages and gates. The controls of `kasmina
/// compare` use such seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreinstalledSeed {
    /// Name or alias of the slot.
    pub slot: String,
    /// Epoch at whose end the seed germinates; 0 means before the first epoch.
    #[serde(default)]
    pub epoch: u32,
    /// Id of the blueprint. Default: the blueprint of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blueprint: Option<String>,
}
