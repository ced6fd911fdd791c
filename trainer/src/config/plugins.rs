//! What plugins may do while a run is live.

use kasmina::model::{PanicPolicies, TrialSettings};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a plugin may do while the run is live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PluginsConfig {
    /// How a new build proves itself once it has been swapped in.
    pub trial: TrialSettings,
    /// What is done about a panic in a live call.
    pub on_panic: PanicPolicies,
    /// A call that has not come back after so many seconds is reported by name.
    #[schemars(range(min = 0.1, max = 1e6))]
    pub call_limit_seconds: f64,
}

impl Default for PluginsConfig {
    fn default() -> Self {
        Self { trial: TrialSettings::default(), on_panic: PanicPolicies::default(), call_limit_seconds: 60.0 }
    }
}
