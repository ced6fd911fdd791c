//! What is compared, how often, and over which rates.

use crate::config::RunConfig;
use crate::error::TrainError;
use crate::layers::Layers;
use kasmina::lifecycle::check_bounds;
use kasmina_files::{limit, read_text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml::{Table, Value};

/// Settings of a comparison: the run, and how it is repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CompareConfig {
    /// Runs of each arm that are compared, with the seeds 1 to N.
    #[schemars(range(min = 1, max = 1000))]
    pub seeds: u32,
    /// Runs of each arm at each rate by which the rate is chosen, with other seeds.
    #[schemars(range(min = 1, max = 1000))]
    pub tuning_seeds: u32,
    /// The grid of learning rates, the same for every arm.
    #[schemars(extend("items" = { "type": "number", "exclusiveMinimum": 0.0, "maximum": 1e3 }, "minItems" = 1))]
    pub rates: Vec<f64>,
    /// The run that grows; its controls are made out of it.
    pub run: RunConfig,
}

impl Default for CompareConfig {
    fn default() -> Self {
        Self { seeds: 5, tuning_seeds: 2, rates: vec![2e-3, 5e-3, 1e-2], run: RunConfig::default() }
    }
}

impl CompareConfig {
    /// Reads a TOML file; `[run]` lies over its task's settings as the file of a run does.
    ///
    /// # Errors
    /// If it cannot be read, or says something unknown.
    pub fn from_file(path: &Path) -> Result<Self, TrainError> {
        let wrong = |reason: String| TrainError::Config { path: path.to_owned(), reason };
        let text = read_text(path, limit::CONFIG).map_err(|e| wrong(e.to_string()))?;
        let said = |e: toml::de::Error| wrong(e.to_string().trim_end().to_owned());
        let config: Self = toml::from_str(&text).map_err(said)?;
        let mut table: Table = toml::from_str(&text).map_err(said)?;
        let run = match table.remove("run") {
            Some(Value::Table(run)) => run,
            _ => Table::new(),
        };
        Ok(Self { run: RunConfig::over_task(&run, Layers::default())?, ..config })
    }

    pub(super) fn validate(&self) -> Result<(), TrainError> {
        check_bounds(self)?;
        if !self.rates.is_sorted_by(|a, b| a < b) {
            let reason = "they do not rise".to_owned();
            return Err(TrainError::Setting { field: "rates".to_owned(), reason });
        }
        self.run.validate()
    }
}
