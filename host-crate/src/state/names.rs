//! The numbers and texts of a slot's state.

use crate::lifecycle::{Intervention, LifecycleState};
use kasmina_plugin_api::Kind;
use kasmina_registry::Entry;
use serde::{Deserialize, Serialize};

/// Which build of which entry something was made by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntryName {
    /// Name of the plugin.
    pub plugin: String,
    /// Version of the plugin.
    pub version: String,
    /// SHA-256 of the plugin's file in hexadecimal digits; `None` for a built-in.
    pub sha256: Option<String>,
    /// The entry's id within the plugin.
    pub id: String,
}

impl EntryName {
    /// The name of an entry.
    pub fn of(entry: &Entry) -> Self {
        let plugin = entry.plugin();
        Self {
            plugin: plugin.name.clone(),
            version: plugin.version.clone(),
            sha256: plugin.sha256.clone(),
            id: entry.id().to_owned(),
        }
    }

    /// `plugin::id`.
    pub fn full_name(&self) -> String {
        format!("{}::{}", self.plugin, self.id)
    }
}

/// How a living instance of author code was made, and its state bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartState {
    /// What it was made by.
    pub entry: EntryName,
    /// Its configuration as it was given, JSON or empty.
    pub config: String,
    /// The instance's own state bytes.
    #[serde(with = "hex::serde")]
    pub bytes: Vec<u8>,
    /// The version of the state bytes.
    pub version: u32,
}

impl PartState {
    /// The state of an instance of an entry.
    pub(crate) fn of(entry: &Entry, config: &str, bytes: Vec<u8>) -> Self {
        let version = entry.record().state_version;
        Self { entry: EntryName::of(entry), config: config.to_owned(), bytes, version }
    }
}

/// Where the alpha of training steps is between two edges of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlideState {
    /// Training steps from one alpha to the next.
    pub steps: u32,
    /// Training steps that were made.
    pub done: u32,
    /// Alpha at the start of the steps.
    pub from: f64,
    /// Alpha at the end of the steps.
    pub to: f64,
}

/// A seed that lives in a slot. Its variables are tensors of the state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveState {
    /// State of the seed module.
    pub seed: PartState,
    /// State of the blend.
    pub blend: PartState,
    /// The alpha that the next forward finds on the device.
    pub alpha: f64,
    /// Multiply-adds of a forward of the seed, per sample.
    pub multiply_adds: u64,
    /// Whether the seed draws from a stream of random numbers of its own, whose state is among the tensors.
    pub stochastic: bool,
    /// The build of its blend before the last exchange that was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier_blend: Option<EntryName>,
}

/// One slot between two steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotState {
    /// Name of the slot.
    pub slot: String,
    /// Topology of the features at the slot.
    pub topology: String,
    /// Stage, alpha and its ramp, metrics.
    pub lifecycle: LifecycleState,
    /// Where alpha is on its way.
    pub glide: GlideState,
    /// Training steps since the last edge of an epoch that a ramp has counted.
    pub ticks: u32,
    /// What its ramp was told meanwhile.
    pub interventions: Vec<Intervention>,
    /// For each shadow check that is queued, the position of the capture that it belongs to.
    pub shadow_checks: Vec<usize>,
    /// Seed and blend in the slot; absent for an empty slot.
    pub live: Option<LiveState>,
}

/// Finds an entry of a state. Its first argument says what kind of entry is meant.
pub(crate) type Resolve<'r> = dyn Fn(Kind, &EntryName) -> Result<Entry, kasmina_registry::RegistryError> + 'r;
