//! Bounds of a configuration that need no plugin.

use super::run::RunConfig;
use crate::error::TrainError;

const MOST_THREADS: u32 = 1024;

impl RunConfig {
    /// Checks all bounds that need no plugin.
    ///
    /// # Errors
    /// The first setting that is out of its bounds.
    pub fn validate(&self) -> Result<(), TrainError> {
        let at_least_one = [
            ("epochs", u64::from(self.epochs)),
            ("schedule_epochs", u64::from(self.planned_epochs())),
            ("checkpoint.keep", u64::from(self.checkpoint.keep)),
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
            ("checkpoint.every_minutes", self.checkpoint.every_minutes, 0.0, 1e6),
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
