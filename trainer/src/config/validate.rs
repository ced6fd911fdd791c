//! The checks of a configuration that need no plugin.

use super::run::RunConfig;
use crate::error::TrainError;
use kasmina::lifecycle::{SettingsError, check_bounds};

impl RunConfig {
    /// Checks the bounds that the schema declares, and the settings that depend on each other.
    ///
    /// # Errors
    /// Returns the first setting that is out of its bounds or contradicts another.
    pub fn validate(&self) -> Result<(), TrainError> {
        check_bounds(self)?;
        self.task_config().validate()?;
        let wrong = |field: &str, reason: &str| {
            Err(TrainError::Setting { field: field.to_owned(), reason: reason.to_owned() })
        };
        if self.fail_on_breach && self.isolation_check_interval == 0 {
            return wrong(
                "fail_on_breach",
                "isolation is not checked while `isolation_check_interval` is 0; set it, for example to 20",
            );
        }
        if self.script.is_some() && self.controller != "scripted" {
            return wrong("script", "only the controller `scripted` reads a script");
        }
        if self.host.frozen && (self.disable_seeds || self.slots.is_empty()) {
            return wrong("host.frozen", "nothing can learn, because the run has no slots for seeds");
        }
        Ok(())
    }
}

impl From<SettingsError> for TrainError {
    fn from(error: SettingsError) -> Self {
        Self::Setting { field: error.field, reason: error.reason }
    }
}
