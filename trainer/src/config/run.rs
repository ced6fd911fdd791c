//! The configuration of a run as a whole.

use super::checkpoint::CheckpointConfig;
use super::compute::ComputeConfig;
use super::data::DataConfig;
use super::faults::OnNonFinite;
use super::growth::GrowthConfig;
use super::host::HostConfig;
use super::init::InitConfig;
use super::optimizer::OptimizerConfig;
use super::plugins::PluginsConfig;
use super::preinstalled::PreinstalledSeed;
use super::ranks::RanksConfig;
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
    /// Where the task's data come from, and how samples are made of them.
    pub data: DataConfig,
    /// Number of epochs to train.
    #[schemars(range(min = 1))]
    pub epochs: u32,
    /// Number of epochs that the learning rate, the holding timeout and the shortest training are derived
    /// from. Default: `epochs`. An extended run keeps the number that it was planned with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub schedule_epochs: Option<u32>,
    /// Random seed of the run. Initial weights, the order of the data and all other random draws derive from
    /// it.
    pub seed: u64,
    /// Device: `auto`, `cpu` or `cuda:N`.
    pub device: String,
    /// Number of CPU threads. Results are bit-identical only for the same number.
    #[schemars(range(min = 1, max = 1024))]
    pub threads: u32,
    /// Whether the run trains the host alone: no slots are made, and results are bit-identical to the host's.
    pub disable_seeds: bool,
    /// Names or aliases of the slots.
    pub slots: Vec<String>,
    /// Maximum number of occupied slots, fossilized seeds included.
    pub max_seeds: u32,
    /// Id of the blueprint that controllers germinate.
    pub blueprint: String,
    /// Configuration of the blueprint.
    pub blueprint_config: serde_json::Map<String, serde_json::Value>,
    /// Id of the blend that controllers germinate with.
    pub blend: String,
    /// Configuration of the blend.
    pub blend_config: serde_json::Map<String, serde_json::Value>,
    /// Folders of plugins and plugin files that are searched first.
    pub plugin_path: Vec<PathBuf>,
    /// Id of the controller.
    pub controller: String,
    /// `scripted`: path of the journal whose commands are executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<PathBuf>,
    /// Steps between gradient measurements.
    #[schemars(range(min = 1))]
    pub telemetry_interval: u64,
    /// Gradient measurements between isolation checks, each of which costs an extra step; 0 disables them.
    pub isolation_check_interval: u64,
    /// Whether an isolation violation ends the run. If not, it is counted and G2 checks the count.
    pub fail_on_breach: bool,
    /// Whether gradients and health are not measured and only stage events are emitted, for rollouts.
    pub fast_mode: bool,
    /// What is done when the host's outputs are NaN or infinite.
    pub on_nonfinite: OnNonFinite,
    /// Topology that the slots must have. Default: the host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology: Option<String>,
    /// When checkpoints are written, and how many are kept.
    pub checkpoint: CheckpointConfig,
    /// How steps are computed: precision, capture, convolutions.
    pub compute: ComputeConfig,
    /// How several ranks train the network together.
    #[serde(skip_serializing_if = "RanksConfig::is_default")]
    pub ranks: RanksConfig,
    /// The host network and its configuration.
    pub host: HostConfig,
    /// Weights that the host begins with.
    #[serde(skip_serializing_if = "InitConfig::is_random")]
    pub init: InitConfig,
    /// The optimizer of host and seeds.
    pub optimizer: OptimizerConfig,
    /// How a live run handles new builds and failures of plugins.
    pub plugins: PluginsConfig,
    /// When and how seeds germinate.
    pub growth: GrowthConfig,
    /// Seeds that are fossilized as soon as they germinate, independently of the controller. Also read as
    /// `planted`, the name of this setting before version 0.2.
    #[serde(alias = "planted", skip_serializing_if = "Vec::is_empty")]
    pub preinstalled: Vec<PreinstalledSeed>,
    /// How seeds are blended in.
    pub alpha: AlphaSettings,
    /// Lifecycle rules of every slot.
    pub lifecycle: Settings,
    /// Weights of the reward's terms.
    pub reward: RewardWeights,
}

/// A run of the task `digits`.
impl Default for RunConfig {
    fn default() -> Self {
        let base = Self::base();
        let config = task::host_config(&base.task);
        Self { host: HostConfig { config, ..base.host }, ..base }
    }
}

impl RunConfig {
    /// Returns the defaults of all runs, without the preset of a task.
    pub(crate) fn base() -> Self {
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
            ranks: RanksConfig::default(),
            host: HostConfig::default(),
            init: InitConfig::default(),
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
    /// Whether the configured device is a GPU. An unavailable device counts as CPU.
    pub fn is_on_gpu(&self) -> bool {
        device::resolve(&self.device).is_ok_and(tch::Device::is_cuda)
    }

    /// Returns the lifecycle rules of every slot, with `max_epochs` set to the planned epochs if it is unset.
    pub fn effective_lifecycle(&self) -> Settings {
        let mut settings = self.lifecycle.clone();
        settings.max_epochs.get_or_insert(self.planned_epochs());
        settings
    }

    /// Returns the number of epochs that the run was planned with.
    pub fn planned_epochs(&self) -> u32 {
        self.schedule_epochs.unwrap_or(self.epochs)
    }

    /// Makes all paths absolute, so that the run can be resumed from another working directory.
    pub(crate) fn make_paths_absolute(&mut self) {
        for (_, path) in self.paths() {
            if let Ok(absolute) = std::path::absolute(&*path) {
                *path = absolute;
            }
        }
    }

    /// Refuses paths that are not UTF-8: the configuration file of the run could not contain them.
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

    /// Returns every path in the configuration, with the name of its field.
    fn paths(&mut self) -> impl Iterator<Item = (&'static str, &mut PathBuf)> {
        let folders = self.plugin_path.iter_mut().map(|path| ("plugin_path", path));
        let script = self.script.iter_mut().map(|path| ("script", path));
        let data = self.data.dir.iter_mut().map(|path| ("data.dir", path));
        let text = self.data.text.iter_mut().map(|path| ("data.text", path));
        let weights = self.init.from.iter_mut().map(|path| ("init.from", path));
        folders.chain(script).chain(data).chain(text).chain(weights)
    }

    /// Returns the configuration without the paths of files and without the device, in which the ranks of a
    /// run may differ.
    pub(crate) fn without_places(&self) -> Self {
        let mut config = Self { device: String::new(), plugin_path: Vec::new(), ..self.clone() };
        config.paths().for_each(|(_, path)| path.clear());
        config
    }

    /// Returns the part of the configuration that the slots read.
    pub fn task_config(&self) -> TaskConfig {
        let (topology, alpha) = (self.topology.clone(), self.alpha.clone());
        TaskConfig { topology, alpha, lifecycle: self.effective_lifecycle() }
    }
}
