//! How a live run handles builds and failures of plugins.

use kasmina::model::{PanicPolicies, TrialSettings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a live run handles new builds and failures of plugins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PluginsConfig {
    /// The trial of a new build after it was swapped in.
    pub trial: TrialSettings,
    /// What is done after a panic in a plugin.
    pub on_panic: PanicPolicies,
    /// Seconds after which a call into a plugin that has not returned is reported.
    #[schemars(range(min = 0.1, max = 1e6))]
    pub call_limit_seconds: f64,
}

impl Default for PluginsConfig {
    fn default() -> Self {
        Self { trial: TrialSettings::default(), on_panic: PanicPolicies::default(), call_limit_seconds: 60.0 }
    }
}
