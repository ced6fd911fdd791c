//! The serialisable part of a slot's state.

use crate::lifecycle::{Intervention, LifecycleState};
use kasmina_plugin_api::Kind;
use kasmina_registry::Entry;
use serde::{Deserialize, Serialize};

/// Name of an entry, with the build of the plugin that provides it.
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
    /// Returns the name of an entry.
    pub fn of(entry: &Entry) -> Self {
        let plugin = entry.plugin();
        Self {
            plugin: plugin.name.clone(),
            version: plugin.version.clone(),
            sha256: plugin.sha256.clone(),
            id: entry.id().to_owned(),
        }
    }

    /// Returns the full name, `plugin::id`.
    pub fn full_name(&self) -> String {
        format!("{}::{}", self.plugin, self.id)
    }
}

/// How an instance of a host, seed or blend was built, and its state bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartState {
    /// Entry that built the instance.
    pub entry: EntryName,
    /// Configuration that it was built with: JSON, or empty for the defaults.
    pub config: String,
    /// The instance's own state bytes.
    #[serde(with = "hex::serde")]
    pub bytes: Vec<u8>,
    /// The version of the state bytes.
    pub version: u32,
}

impl PartState {
    /// Creates the state of an instance that `entry` built; the version is the entry's.
    pub(crate) fn of(entry: &Entry, config: &str, bytes: Vec<u8>) -> Self {
        let version = entry.record().state_version;
        Self { entry: EntryName::of(entry), config: config.to_owned(), bytes, version }
    }
}

/// Position of alpha within its glide from one epoch's value to the next (`growth.glide`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlideState {
    /// Training steps of the whole glide.
    pub steps: u32,
    /// Training steps done so far.
    pub done: u32,
    /// Alpha at the start of the glide.
    pub from: f64,
    /// Alpha at the end of the glide.
    pub to: f64,
}

/// The seed and the blend in a slot. Their variables are tensors of the state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveState {
    /// State of the seed module.
    pub seed: PartState,
    /// State of the blend.
    pub blend: PartState,
    /// Alpha on the device, in `0..=1`.
    pub alpha: f64,
    /// Multiply-adds of one forward of the seed, per sample.
    pub multiply_adds: u64,
    /// Whether the seed has its own stream of random numbers, whose state is among the tensors.
    pub stochastic: bool,
    /// Entry of the blend before the last confirmed swap; `None` if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier_blend: Option<EntryName>,
}

/// State of one slot between two training steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotState {
    /// Name of the slot.
    pub slot: String,
    /// Topology of the features at the slot.
    pub topology: String,
    /// Stage, alpha and its ramp, metrics.
    pub lifecycle: LifecycleState,
    /// Glide of alpha within the epoch.
    pub glide: GlideState,
    /// Training steps that a ramp has counted since the end of the last epoch.
    pub ticks: u32,
    /// Interventions in the ramp since the end of the last epoch.
    pub interventions: Vec<Intervention>,
    /// For each queued shadow check, the index of the gradient capture that it belongs to.
    pub shadow_checks: Vec<usize>,
    /// Seed and blend in the slot; absent for an empty slot.
    pub live: Option<LiveState>,
}

/// Resolves an entry of a state, given its kind and name.
pub(crate) type Resolve<'r> = dyn Fn(Kind, &EntryName) -> Result<Entry, kasmina_registry::RegistryError> + 'r;
