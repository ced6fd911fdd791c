//! Policies for panics of plugins in training.

use crate::graft::SeedSlot;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What happens when a call of a blend panics. A panic leaves the instance in an unknown state, so it is
/// never called again.
///
/// A seed that panics cannot be replaced: unless the policy is `fail`, it is pruned with the reason
/// `plugin_panic`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PanicPolicy {
    /// The run ends with an error.
    #[default]
    Fail,
    /// The built-in blend replaces the plugin's, and alpha keeps its present value.
    Freeze,
    /// The blend of the build before the last swap replaces it; if there is none, the run ends with an error.
    PreviousGeneration,
    /// The built-in blend replaces the plugin's, and alpha continues its ramp.
    Builtin,
}

impl PanicPolicy {
    /// Returns the name in configurations and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Freeze => "freeze",
            Self::PreviousGeneration => "previous_generation",
            Self::Builtin => "builtin",
        }
    }
}

/// Policies of a model's slots.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PanicPolicies {
    /// Policy of every slot that is not listed.
    pub default: PanicPolicy,
    /// Policies by name or alias of the slot.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub slots: BTreeMap<String, PanicPolicy>,
}

impl PanicPolicies {
    /// Returns the policy of a slot.
    pub(super) fn of(&self, slot: &SeedSlot) -> PanicPolicy {
        let named = self.slots.iter().find(|(name, _)| slot.answers_to(name));
        named.map_or(self.default, |(_, policy)| *policy)
    }
}
