//! What is compared, how often, and over which rates.

use crate::config::RunConfig;
use crate::error::TrainError;
use crate::layers::Layers;
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
        let wrong =
            |field: &str, reason: String| Err(TrainError::Setting { field: field.to_owned(), reason });
        for (field, value) in [("seeds", self.seeds), ("tuning_seeds", self.tuning_seeds)] {
            if !(1..=1000).contains(&value) {
                return wrong(field, format!("{value} is not within 1 and 1000"));
            }
        }
        if self.rates.is_empty() {
            return wrong("rates", "there are none".to_owned());
        }
        if let Some(rate) = self.rates.iter().find(|rate| !(**rate > 0.0 && **rate <= 1e3)) {
            return wrong("rates", format!("{rate} is no learning rate"));
        }
        if !self.rates.is_sorted_by(|a, b| a < b) {
            return wrong("rates", "they do not rise".to_owned());
        }
        self.run.validate()
    }
}
