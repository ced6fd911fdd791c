//! Recovery from failures of plugins during a run.

use super::trainer::Trainer;
use crate::error::TrainError;
use kasmina::model::Recovered;

/// Maximum number of recoveries in one step. Each removes what has failed, so that more would be a bug of
/// Kasmina.
const MAX_RECOVERIES: u32 = 8;

impl Trainer<'_> {
    /// Runs `body`, which calls plugins, and repeats it after each failure that the model can recover from.
    pub(super) fn with_recovery<T, E: Into<TrainError>>(
        &mut self,
        mut body: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<T, TrainError> {
        for _ in 0..MAX_RECOVERIES {
            let error = match body(self) {
                Ok(value) => return Ok(value),
                Err(error) => error.into(),
            };
            let recovered =
                self.training.model.recover(self.registry, &mut self.training.optimizer).unwrap_or_else(
                    |second| {
                        tracing::error!("the recovery from a plugin's failure failed: {second}");
                        None
                    },
                );
            match recovered {
                Some(Recovered::RolledBack { plugin, reason }) => {
                    tracing::warn!("{plugin} is rolled back: {reason}");
                }
                Some(_) => {}
                None => return Err(error),
            }
        }
        body(self).map_err(Into::into)
    }
}
