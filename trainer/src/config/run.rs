//! The configuration of a run as a whole.

use super::checkpoint::CheckpointConfig;
use super::compute::ComputeConfig;
use super::data::DataConfig;
use super::faults::OnNonFinite;
use super::growth::GrowthConfig;
use super::host::HostConfig;
use super::optimizer::OptimizerConfig;
use super::plugins::PluginsConfig;
use super::preinstalled::PreinstalledSeed;
use crate::device;
use crate::error::TrainError;
use crate::signals::RewardWeights;
use crate::task;
use kasmina::lifecycle::{AlphaSettings, Settings, TaskConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The configuration of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Id of the task.
    pub task: String,
    /// Where the task's data come from, and how they are cut.
    pub data: DataConfig,
    /// Number of epochs to train.
    #[schemars(range(min = 1))]
    pub epochs: u32,
    /// Epochs that learning rate, holding timeout and shortest training are derived from; `epochs` where
    /// nothing is said. A run that is extended keeps what it was planned with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub schedule_epochs: Option<u32>,
    /// The run's seed: data split and order, every initial weight.
    pub seed: u64,
    /// `auto`, `cpu` or `cuda:N`.
    pub device: String,
    /// Threads of the CPU; results are the same bits for the same number.
    #[schemars(range(min = 1, max = 1024))]
    pub threads: u32,
    /// The rollback switch: no slot is made, and the run is bit for bit the host's own.
    pub disable_seeds: bool,
    /// Slots, by name or alias.
    pub slots: Vec<String>,
    /// Slots that may be occupied at a time, fossils included.
    pub max_seeds: u32,
    /// Id of the blueprint that controllers germinate.
    pub blueprint: String,
    /// Configuration of the blueprint.
    pub blueprint_config: serde_json::Map<String, serde_json::Value>,
    /// Id of the blend that controllers germinate with.
    pub blend: String,
    /// Configuration of the blend.
    pub blend_config: serde_json::Map<String, serde_json::Value>,
    /// Folders of plugins and plugin files to search first.
    pub plugin_path: Vec<PathBuf>,
    /// Id of the controller.
    pub controller: String,
    /// `scripted`: the journal whose commands are given again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<PathBuf>,
    /// Gradients are measured every so many steps.
    #[schemars(range(min = 1))]
    pub telemetry_interval: u64,
    /// A shadow step proves isolation every so many measurements; 0 is never.
    pub isolation_check_interval: u64,
    /// A breach of isolation ends the run; otherwise it is counted, and G2 judges.
    pub fail_on_breach: bool,
    /// For rollouts: no gradients and no health are measured, only stages are told of.
    pub fast_mode: bool,
    /// What is done when the host has become NaN or infinite.
    pub on_nonfinite: OnNonFinite,
    /// What must flow through the slots; as it is, where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology: Option<String>,
    /// When checkpoints are written, and how many are kept.
    pub checkpoint: CheckpointConfig,
    /// How steps are computed: precision, capture, convolutions.
    pub compute: ComputeConfig,
    /// The host network.
    pub host: HostConfig,
    /// The optimizer of host and seeds.
    pub optimizer: OptimizerConfig,
    /// What a plugin may do while the run is live.
    pub plugins: PluginsConfig,
    /// When seeds are put in.
    pub growth: GrowthConfig,
    /// Seeds that are fossilized as soon as they germinate, whatever the controller does. Also read as
    /// `planted`, its name before version 0.2.
    #[serde(alias = "planted", skip_serializing_if = "Vec::is_empty")]
    pub preinstalled: Vec<PreinstalledSeed>,
    /// How they are blended in.
    pub alpha: AlphaSettings,
    /// The rules of every slot.
    pub lifecycle: Settings,
    /// The weights of the reward signals.
    pub reward: RewardWeights,
}

/// A run of the task `digits`.
impl Default for RunConfig {
    fn default() -> Self {
        let plain = Self::plain();
        let config = task::host_config(&plain.task);
        Self { host: HostConfig { config, ..plain.host }, ..plain }
    }
}

impl RunConfig {
    /// What a run is before its task has a say.
    pub(crate) fn plain() -> Self {
        let epochs = 60;
        Self {
            task: "digits".to_owned(),
            data: DataConfig::default(),
            epochs,
            schedule_epochs: None,
            seed: 1,
            device: "auto".to_owned(),
            threads: 1,
            disable_seeds: false,
            slots: ["early", "mid", "late"].map(str::to_owned).to_vec(),
            max_seeds: 3,
            blueprint: "conv_light".to_owned(),
            blueprint_config: serde_json::Map::new(),
            blend: "linear".to_owned(),
            blend_config: serde_json::Map::new(),
            plugin_path: Vec::new(),
            controller: "periodic".to_owned(),
            script: None,
            telemetry_interval: 4,
            isolation_check_interval: 0,
            fail_on_breach: false,
            fast_mode: false,
            on_nonfinite: OnNonFinite::default(),
            topology: None,
            checkpoint: CheckpointConfig::default(),
            compute: ComputeConfig::default(),
            host: HostConfig::default(),
            optimizer: OptimizerConfig::default(),
            plugins: PluginsConfig::default(),
            growth: GrowthConfig::default(),
            preinstalled: Vec::new(),
            alpha: AlphaSettings::default(),
            lifecycle: Settings::default(),
            reward: RewardWeights::default(),
        }
    }
}

impl RunConfig {
    /// Whether it would run on a GPU. A device that there is not is none.
    pub fn is_on_gpu(&self) -> bool {
        device::resolve(&self.device).is_ok_and(tch::Device::is_cuda)
    }

    /// The rules of every slot, with the run's length where they name none.
    pub fn effective_lifecycle(&self) -> Settings {
        let mut settings = self.lifecycle.clone();
        settings.max_epochs.get_or_insert(self.planned_epochs());
        settings
    }

    /// Epochs that the run was planned with.
    pub fn planned_epochs(&self) -> u32 {
        self.schedule_epochs.unwrap_or(self.epochs)
    }

    /// The same files, by paths that hold in every working directory: the settings of a run mean them
    /// wherever it goes on.
    pub(crate) fn make_paths_absolute(&mut self) {
        for (_, path) in self.paths() {
            if let Ok(absolute) = std::path::absolute(&*path) {
                *path = absolute;
            }
        }
    }

    /// Refuses paths that a configuration, which is UTF-8 text, could not name again.
    pub(crate) fn refuse_paths_that_are_not_text(&mut self) -> Result<(), TrainError> {
        self.paths().find(|(_, path)| path.to_str().is_none()).map_or(Ok(()), |(field, path)| {
            Err(TrainError::Setting {
                field: field.to_owned(),
                reason: format!(
                    "the path {} is not UTF-8, and the run's configuration must name it",
                    path.display()
                ),
            })
        })
    }

    /// Every path in it, with the name of its field.
    fn paths(&mut self) -> impl Iterator<Item = (&'static str, &mut PathBuf)> {
        let folders = self.plugin_path.iter_mut().map(|path| ("plugin_path", path));
        let script = self.script.iter_mut().map(|path| ("script", path));
        let data = self.data.dir.iter_mut().map(|path| ("data.dir", path));
        let text = self.data.text.iter_mut().map(|path| ("data.text", path));
        folders.chain(script).chain(data).chain(text)
    }

    /// What the slots of this run are told.
    pub fn task_config(&self) -> TaskConfig {
        let (topology, alpha) = (self.topology.clone(), self.alpha.clone());
        TaskConfig { topology, alpha, lifecycle: self.effective_lifecycle() }
    }
}
