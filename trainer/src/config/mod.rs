//! What a run is told; every field has a default, and the resolved whole is written into the run directory.

mod data;
mod plant;

pub use data::DataConfig;
pub(crate) use data::at_most;
pub use plant::PlantConfig;

use crate::device;
use crate::error::TrainError;
use crate::signals::RewardWeights;
use crate::task;
use kasmina::lifecycle::{AlphaSettings, Settings, TaskConfig};
use kasmina::model::{Germinate, PanicPolicies, Precision, TrialSettings};
use kasmina_torch_ext::cuda;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const MOST_THREADS: u32 = 1024;

/// The configuration of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// The task's id.
    pub task: String,
    /// Where the task's data come from, and how they are cut.
    pub data: DataConfig,
    /// Epochs to train.
    #[schemars(range(min = 1))]
    pub epochs: u32,
    /// The run's seed: data split and order, every initial weight.
    pub seed: u64,
    /// `auto`, `cpu` or `cuda:N`.
    pub device: String,
    /// Threads of the CPU; results are the same bits for the same number.
    #[schemars(range(min = 1))]
    pub threads: u32,
    /// The rollback switch: no slot is made, and the run is bit for bit the host's own.
    pub disable_seeds: bool,
    /// Slots, by name or alias.
    pub slots: Vec<String>,
    /// Slots that may be occupied at a time, fossils included.
    pub max_seeds: u32,
    /// The blueprint's id.
    pub blueprint: String,
    /// Its configuration.
    pub blueprint_config: serde_json::Map<String, serde_json::Value>,
    /// The blend's id.
    pub blend: String,
    /// Its configuration.
    pub blend_config: serde_json::Map<String, serde_json::Value>,
    /// Folders of plugins and plugin files to search first.
    pub plugin_path: Vec<PathBuf>,
    /// The controller's id.
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
    /// What must flow through the slots; as it is, where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology: Option<String>,
    /// How it is computed.
    pub compute: ComputeConfig,
    /// The host network.
    pub host: HostConfig,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// What a plugin may do while the run is live.
    pub plugins: PluginsConfig,
    /// When seeds are put in.
    pub growth: GrowthConfig,
    /// Seeds that are put in whole, past every gate, whatever the controller does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub planted: Vec<PlantConfig>,
    /// How they are blended in.
    pub alpha: AlphaSettings,
    /// The rules of every slot.
    pub lifecycle: Settings,
    /// The weights of the reward signals.
    pub reward: RewardWeights,
}

/// Which host, and how it is configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HostConfig {
    /// The host's id.
    pub id: String,
    /// Its configuration; the task's own where nothing is said.
    pub config: serde_json::Map<String, serde_json::Value>,
}

/// The optimizer of host and seeds: `AdamW`, constant rate, then linear down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Samples per step.
    #[schemars(range(min = 1))]
    pub batch_size: u32,
    /// The rate at first.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// The part of the run for which the rate is constant.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub hold_fraction: f64,
    /// What is left of the rate at the end.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub final_fraction: f64,
    /// The seeds' rate as a factor on the host's.
    pub seed_rate: f64,
    /// The factor on that while a seed's alpha is 0. Behind the straight-through estimator it follows the gradient at the
    /// host's own output, and never hears what it gives itself: small steps stay where that gradient holds.
    pub incubation_rate: f64,
    /// Steps over which a new seed's rate rises to it.
    pub seed_warm_up: u32,
}

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

/// How a run is computed; none of it changes what is computed, but for rounding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ComputeConfig {
    /// What convolutions and matrix products compute in. Parameters, norms, gates and alphas are float32 either way.
    pub precision: Precision,
    /// How convolutions are chosen on a GPU.
    pub convolutions: Convolutions,
    /// On a GPU, record training steps as CUDA graphs and replay them.
    pub capture: bool,
}

impl Default for ComputeConfig {
    fn default() -> Self {
        Self { precision: Precision::default(), convolutions: Convolutions::default(), capture: true }
    }
}

/// How cuDNN chooses the algorithm of a convolution, for the whole process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Convolutions {
    /// By its own rules, at once.
    #[default]
    Heuristic,
    /// By trying them out when a shape is first met.
    Fastest,
    /// Among those that add up in the same order each time.
    Deterministic,
}

impl From<Convolutions> for cuda::Convolutions {
    fn from(convolutions: Convolutions) -> Self {
        match convolutions {
            Convolutions::Heuristic => Self::Heuristic,
            Convolutions::Fastest => Self::Fastest,
            Convolutions::Deterministic => Self::Deterministic,
        }
    }
}

/// When seeds are put in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GrowthConfig {
    /// The first epoch at whose end a seed may germinate.
    pub first_epoch: u32,
    /// `periodic`: epochs between germinations, if a slot is free and no other seed is in training by then.
    #[schemars(range(min = 1))]
    pub every: u32,
    /// `heuristic`: epochs without progress that make a plateau.
    #[schemars(range(min = 1))]
    pub plateau_epochs: u32,
    /// `heuristic`: percent points that count as progress.
    pub plateau_threshold: f64,
    /// Epochs in TRAINING after which a seed is given up; at least twice what G2 asks for.
    #[schemars(range(min = 1))]
    pub max_training_epochs: u32,
    /// Alpha moves with every step of an epoch towards where a ramp that counts epochs has put it; otherwise it jumps there
    /// at the epoch's edge.
    pub glide: bool,
    /// Make germinations ready ahead, on another thread; they land an epoch later.
    pub prefetch: bool,
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
            topology: None,
            compute: ComputeConfig::default(),
            host: HostConfig::default(),
            optimizer: OptimizerConfig::default(),
            plugins: PluginsConfig::default(),
            growth: GrowthConfig::default(),
            planted: Vec::new(),
            alpha: AlphaSettings::default(),
            lifecycle: Settings::default(),
            reward: RewardWeights::default(),
        }
    }
}

impl Default for HostConfig {
    fn default() -> Self {
        Self { id: "cnn".to_owned(), config: serde_json::Map::new() }
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            batch_size: 64,
            learning_rate: 1e-2,
            weight_decay: 0.01,
            hold_fraction: 0.6,
            final_fraction: 0.02,
            seed_rate: 1.0,
            incubation_rate: 0.1,
            seed_warm_up: 0,
        }
    }
}

impl Default for GrowthConfig {
    fn default() -> Self {
        Self {
            first_epoch: 3,
            every: 1,
            plateau_epochs: 3,
            plateau_threshold: 0.5,
            max_training_epochs: 12,
            glide: true,
            prefetch: false,
        }
    }
}

/// An entry's own id, however it was asked for: initial weights follow from the name of a seed.
pub(crate) fn short(id: &str) -> &str {
    id.rsplit("::").next().unwrap_or_default()
}

impl RunConfig {
    /// Whether it would run on a GPU. A device that there is not is none.
    pub fn is_on_gpu(&self) -> bool {
        device::resolve(&self.device).is_ok_and(tch::Device::is_cuda)
    }

    /// The rules of every slot, with the run's length where they name none.
    pub fn effective_lifecycle(&self) -> Settings {
        let mut settings = self.lifecycle.clone();
        settings.max_epochs.get_or_insert(self.epochs);
        settings
    }

    /// What the slots of this run are told.
    pub fn task_config(&self) -> TaskConfig {
        let (topology, alpha) = (self.topology.clone(), self.alpha.clone());
        TaskConfig { topology, alpha, lifecycle: self.effective_lifecycle() }
    }

    /// The germination that this configuration asks for.
    pub fn germination(&self, slot: &str, seed_id: impl Into<String>) -> Germinate {
        let given = |config: &serde_json::Map<String, serde_json::Value>| {
            if config.is_empty() { serde_json::Value::Null } else { config.clone().into() }
        };
        Germinate {
            blueprint_config: given(&self.blueprint_config),
            blend_config: given(&self.blend_config),
            prefetch: self.growth.prefetch,
            ..Germinate::new(slot, seed_id, &self.blueprint, &self.blend)
        }
    }

    /// Checks all bounds that need no plugin.
    ///
    /// # Errors
    /// The first setting that is out of its bounds.
    pub fn validate(&self) -> Result<(), TrainError> {
        let at_least_one = [
            ("epochs", u64::from(self.epochs)),
            ("threads", u64::from(self.threads)),
            ("telemetry_interval", self.telemetry_interval),
            ("plugins.trial.steps", u64::from(self.plugins.trial.steps)),
            ("optimizer.batch_size", u64::from(self.optimizer.batch_size)),
            ("growth.every", u64::from(self.growth.every)),
            ("growth.plateau_epochs", u64::from(self.growth.plateau_epochs)),
            ("growth.max_training_epochs", u64::from(self.growth.max_training_epochs)),
        ];
        for (field, value) in at_least_one {
            if value == 0 {
                let reason = "0 is not at least 1".to_owned();
                return Err(TrainError::Setting { field: field.to_owned(), reason });
            }
        }
        if self.threads > MOST_THREADS {
            let reason = format!("{} is not at most {MOST_THREADS}", self.threads);
            return Err(TrainError::Setting { field: "threads".to_owned(), reason });
        }
        let (optimizer, growth) = (&self.optimizer, &self.growth);
        let ranges = [
            ("optimizer.learning_rate", optimizer.learning_rate, 0.0, 1e3),
            ("optimizer.weight_decay", optimizer.weight_decay, 0.0, 1e3),
            ("optimizer.hold_fraction", optimizer.hold_fraction, 0.0, 1.0),
            ("optimizer.final_fraction", optimizer.final_fraction, 0.0, 1.0),
            ("optimizer.seed_rate", optimizer.seed_rate, 0.0, 1e3),
            ("optimizer.incubation_rate", optimizer.incubation_rate, 0.0, 1e3),
            ("growth.plateau_threshold", growth.plateau_threshold, 0.0, 100.0),
            ("reward.gate_passage", self.reward.gate_passage, 0.0, 1e3),
            ("reward.fossilization", self.reward.fossilization, 0.0, 1e3),
            ("reward.pruning", self.reward.pruning, 0.0, 1e3),
            ("plugins.call_limit_seconds", self.plugins.call_limit_seconds, 0.1, 1e6),
            ("plugins.trial.call_budget_ms", self.plugins.trial.call_budget_ms, 0.0, 1e9),
            ("reward.compute_rent", self.reward.compute_rent, 0.0, 1e3),
        ];
        for (field, value, low, high) in ranges.into_iter().chain(self.data.ranges()) {
            if !(low..=high).contains(&value) {
                let reason = format!("{value} is not within {low} and {high}");
                return Err(TrainError::Setting { field: field.to_owned(), reason });
            }
        }
        self.task_config()
            .validate()
            .map_err(|e| TrainError::Setting { field: e.field, reason: e.reason })?;
        if self.fail_on_breach && self.isolation_check_interval == 0 {
            let reason =
                "nothing is checked while `isolation_check_interval` is 0; set it, to 20 for instance";
            return Err(TrainError::Setting {
                field: "fail_on_breach".to_owned(),
                reason: reason.to_owned(),
            });
        }
        if self.script.is_some() && self.controller != "scripted" {
            let reason = "only the controller `scripted` reads one".to_owned();
            return Err(TrainError::Setting { field: "script".to_owned(), reason });
        }
        Ok(())
    }
}
