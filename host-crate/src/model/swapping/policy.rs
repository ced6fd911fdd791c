//! What is done about a panic in a live call.

use crate::graft::SeedSlot;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is done about a panic in a live call. A panic leaves its instance in an unknown state: it is never
/// called again.
///
/// These are about blends. A seed that panics cannot be stood in for: where the policy is not `fail` it is
/// pruned, with the reason `plugin_panic`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PanicPolicy {
    /// The run ends with an error.
    #[default]
    Fail,
    /// Alpha stays where it is, and the built-in blend goes on with it.
    Freeze,
    /// The build that was there before the last swap goes on; where there was none, the run ends.
    PreviousGeneration,
    /// The built-in blend goes on.
    Builtin,
}

impl PanicPolicy {
    /// The word in configurations and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Freeze => "freeze",
            Self::PreviousGeneration => "previous_generation",
            Self::Builtin => "builtin",
        }
    }
}

/// The policies of a model's slots.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PanicPolicies {
    /// Of every slot that is not named.
    pub default: PanicPolicy,
    /// Of these slots, by name or alias.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub slots: BTreeMap<String, PanicPolicy>,
}

impl PanicPolicies {
    /// The policy of a slot, which answers to its name and its aliases.
    pub(super) fn of(&self, slot: &SeedSlot) -> PanicPolicy {
        let named = self.slots.iter().find(|(name, _)| slot.answers_to(name));
        named.map_or(self.default, |(_, policy)| *policy)
    }
}
