//! Configuration of a comparison.

use crate::config::RunConfig;
use crate::error::TrainError;
use crate::layers::Layers;
use kasmina::lifecycle::check_bounds;
use kasmina_files::{limit, read_text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml::{Table, Value};

/// Configuration of a comparison: the run, and how often it is repeated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CompareConfig {
    /// Number of compared runs of each arm, with the random seeds 1 to N.
    #[schemars(range(min = 1, max = 1000))]
    pub seeds: u32,
    /// Number of runs of each arm at each learning rate, with other random seeds, from which the rate is
    /// chosen.
    #[schemars(range(min = 1, max = 1000))]
    pub tuning_seeds: u32,
    /// Learning rates to choose from, the same for every arm, in rising order.
    #[schemars(extend("items" = { "type": "number", "exclusiveMinimum": 0.0, "maximum": 1e3 }, "minItems" = 1))]
    pub rates: Vec<f64>,
    /// Configuration of the grown run, from which those of the controls are derived.
    pub run: RunConfig,
}

impl Default for CompareConfig {
    fn default() -> Self {
        Self { seeds: 5, tuning_seeds: 2, rates: vec![2e-3, 5e-3, 1e-2], run: RunConfig::default() }
    }
}

impl CompareConfig {
    /// Reads a TOML file. `[run]` overrides the defaults of its task, as the configuration file of a run
    /// does.
    ///
    /// # Errors
    /// If the file cannot be read, or has an unknown setting.
    pub fn from_file(path: &Path) -> Result<Self, TrainError> {
        let wrong = |reason: String| TrainError::Config { path: path.to_owned(), reason };
        let text = read_text(path, limit::CONFIG).map_err(|e| wrong(e.to_string()))?;
        let invalid = |e: toml::de::Error| wrong(e.to_string().trim_end().to_owned());
        let config: Self = toml::from_str(&text).map_err(invalid)?;
        let mut table: Table = toml::from_str(&text).map_err(invalid)?;
        let run = match table.remove("run") {
            Some(Value::Table(run)) => run,
            _ => Table::new(),
        };
        Ok(Self { run: RunConfig::over_task_defaults(&run, Layers::default())?, ..config })
    }

    pub(super) fn validate(&self) -> Result<(), TrainError> {
        check_bounds(self)?;
        if !self.rates.is_sorted_by(|a, b| a < b) {
            let reason = "the rates are not in rising order".to_owned();
            return Err(TrainError::Setting { field: "rates".to_owned(), reason });
        }
        self.run.validate()
    }
}
