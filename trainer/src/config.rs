//! What a run is told; every field has a default, and the resolved whole is written into the run directory.

use crate::error::TrainError;
use kasmina::lifecycle::Settings;
use kasmina::model::Germinate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The configuration of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// The task's id.
    pub task: String,
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
    /// Gradients are measured every so many steps.
    #[schemars(range(min = 1))]
    pub telemetry_interval: u64,
    /// The host network.
    pub host: HostConfig,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// When and how seeds are put in.
    pub growth: GrowthConfig,
    /// The rules of every slot.
    pub lifecycle: Settings,
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
}

/// When and how seeds are put in.
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
    /// Epochs of the ramp.
    #[schemars(range(min = 1))]
    pub tempo: u32,
    /// Where alpha goes.
    pub alpha_target: f64,
}

impl Default for RunConfig {
    fn default() -> Self {
        let epochs = 60;
        Self {
            task: "digits".to_owned(),
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
            telemetry_interval: 4,
            host: HostConfig::default(),
            optimizer: OptimizerConfig::default(),
            growth: GrowthConfig::default(),
            lifecycle: Settings::default(),
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
            learning_rate: 5e-3,
            weight_decay: 0.01,
            hold_fraction: 0.6,
            final_fraction: 0.02,
            seed_rate: 1.0,
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
            tempo: 5,
            alpha_target: 1.0,
        }
    }
}

impl RunConfig {
    /// The rules of every slot, with the run's length where they name none.
    pub fn effective_lifecycle(&self) -> Settings {
        let mut settings = self.lifecycle.clone();
        settings.max_epochs.get_or_insert(self.epochs);
        settings
    }

    /// The germination that this configuration asks for.
    pub fn germination(&self, slot: &str, seed_id: impl Into<String>) -> Germinate {
        let given = |config: &serde_json::Map<String, serde_json::Value>| {
            if config.is_empty() { serde_json::Value::Null } else { config.clone().into() }
        };
        Germinate {
            blueprint_config: given(&self.blueprint_config),
            blend_config: given(&self.blend_config),
            tempo: self.growth.tempo,
            target: self.growth.alpha_target,
            ..Germinate::new(slot, seed_id, &self.blueprint, &self.blend)
        }
    }

    /// Reads a TOML file; what it does not say keeps its default.
    ///
    /// # Errors
    /// If it cannot be read, or says something unknown.
    pub fn from_file(path: &Path) -> Result<Self, TrainError> {
        let wrong = |reason: String| TrainError::Config { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        toml::from_str(&text).map_err(|e| wrong(e.to_string().trim_end().to_owned()))
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
            ("optimizer.batch_size", u64::from(self.optimizer.batch_size)),
            ("growth.every", u64::from(self.growth.every)),
            ("growth.plateau_epochs", u64::from(self.growth.plateau_epochs)),
            ("growth.max_training_epochs", u64::from(self.growth.max_training_epochs)),
            ("growth.tempo", u64::from(self.growth.tempo)),
        ];
        for (field, value) in at_least_one {
            if value == 0 {
                let reason = "0 is not at least 1".to_owned();
                return Err(TrainError::Setting { field: field.to_owned(), reason });
            }
        }
        let at_most = [("threads", self.threads, 1024), ("growth.tempo", self.growth.tempo, 10_000)];
        for (field, value, most) in at_most {
            if value > most {
                let reason = format!("{value} is not at most {most}");
                return Err(TrainError::Setting { field: field.to_owned(), reason });
            }
        }
        let (optimizer, growth) = (&self.optimizer, &self.growth);
        let ranges = [
            ("optimizer.learning_rate", optimizer.learning_rate, 0.0, 1e3),
            ("optimizer.weight_decay", optimizer.weight_decay, 0.0, 1e3),
            ("optimizer.hold_fraction", optimizer.hold_fraction, 0.0, 1.0),
            ("optimizer.final_fraction", optimizer.final_fraction, 0.0, 1.0),
            ("optimizer.seed_rate", optimizer.seed_rate, 0.0, 1e3),
            ("growth.plateau_threshold", growth.plateau_threshold, 0.0, 100.0),
            ("growth.alpha_target", growth.alpha_target, f64::MIN_POSITIVE, 1.0),
        ];
        for (field, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                let low = if low == f64::MIN_POSITIVE { 0.0 } else { low };
                let reason = format!("{value} is not within {low} and {high}");
                return Err(TrainError::Setting { field: field.to_owned(), reason });
            }
        }
        self.lifecycle
            .validate()
            .map_err(|e| TrainError::Setting { field: format!("lifecycle.{}", e.field), reason: e.reason })
    }
}
