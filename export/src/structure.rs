//! What a saved network consists of, without the machinery of growth: the host and the seeds that take part
//! in the output.

use crate::ExportError;
use kasmina::lifecycle::Stage;
use kasmina::state::{EntryName, PartState};
use kasmina_plugin_api::{Capability, Kind, Site};
use kasmina_registry::{Entry, Registry};
use kasmina_trainer::run::SavedNetwork;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tch::Device;

/// An instance of a plugin's entry: what it is, how it is configured, and its PyTorch source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The entry that it was made by.
    pub entry: EntryName,
    /// Its settings. Settings that are absent have their defaults.
    pub config: Map<String, Value>,
    /// State of the instance besides its variables; most have none.
    #[serde(with = "hex::serde", default, skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<u8>,
    /// Version of the state.
    #[serde(default)]
    pub state_version: u32,
    /// Python source of the same module in plain PyTorch; `None` if the plugin has none, and in a structure
    /// that was read from an export.
    #[serde(skip)]
    pub pytorch: Option<String>,
}

/// A seed that takes part in the output of the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedInSlot {
    /// Name of the slot.
    pub slot: String,
    /// Topology of the features at the slot.
    pub topology: String,
    /// Channels of the features at the slot.
    pub channels: i64,
    /// Id of the seed.
    pub seed_id: String,
    /// Stage of the seed when the checkpoint was written.
    pub stage: Stage,
    /// The seed.
    pub seed: Part,
    /// The blend of the seed.
    pub blend: Part,
    /// Alpha, above 0 and at most 1.
    pub alpha: f64,
    /// Whether the output of the slot is the output of the seed alone: alpha is 1, and the blend promises
    /// [`Capability::SeedAtOne`].
    pub seed_alone: bool,
}

/// The structure of a saved network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Structure {
    /// The host.
    pub host: Part,
    /// The seeds, in the order of the host's slots.
    pub seeds: Vec<SeedInSlot>,
}

impl Part {
    /// Returns the settings as JSON text, which is empty for the defaults.
    pub(crate) fn config_text(&self) -> String {
        if self.config.is_empty() { String::new() } else { Value::from(self.config.clone()).to_string() }
    }
}

impl Structure {
    /// Describes a saved network. Its plugins must be in the registry, or in the run's own copies.
    ///
    /// # Errors
    /// If a plugin is missing or fails.
    pub fn of(saved: &SavedNetwork, registry: &Registry) -> Result<Self, ExportError> {
        let builds = saved.builds(registry);
        let model = saved.model();
        let host = builds.resolve(Kind::Host, &model.host.entry)?;
        let instance = host.make_host(Device::Cpu, &model.host.config)?;
        let mut seeds = Vec::new();
        for spec in instance.slots() {
            let Some(state) = model.slots.iter().find(|state| state.slot == spec.name) else { continue };
            let (Some(live), Some(seed)) = (&state.live, &state.lifecycle.seed) else { continue };
            if live.alpha == 0.0 || !seed.stage.is_active() {
                continue;
            }
            let site = Site::new(spec.topology, spec.channels);
            let blueprint = builds.resolve(Kind::Blueprint, &live.seed.entry)?;
            let blend = builds.resolve(Kind::Blend, &live.blend.entry)?;
            let seed_at_one = blend.declares(Capability::SeedAtOne);
            seeds.push(SeedInSlot {
                slot: spec.name.clone(),
                topology: spec.topology.to_string(),
                channels: spec.channels,
                seed_id: seed.seed_id.clone(),
                stage: seed.stage,
                seed: part(&blueprint, Some(&site), &live.seed)?,
                blend: part(&blend, Some(&site), &live.blend)?,
                alpha: live.alpha,
                seed_alone: live.alpha == 1.0 && seed_at_one,
            });
        }
        Ok(Self { host: part(&host, None, &model.host)?, seeds })
    }
}

fn part(entry: &Entry, site: Option<&Site>, state: &PartState) -> Result<Part, ExportError> {
    Ok(Part {
        entry: state.entry.clone(),
        config: serde_json::from_str(&state.config).unwrap_or_default(),
        state: state.bytes.clone(),
        state_version: state.version,
        pytorch: entry.pytorch(site, &state.config)?,
    })
}
