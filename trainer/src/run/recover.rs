//! Failures of plugins in the middle of a run.

use super::trainer::Trainer;
use crate::error::TrainError;
use kasmina::model::Recovered;

/// Failures in one step that are dealt with. Each takes something away that failed; more is a bug of ours.
const RECOVERIES: u32 = 8;

impl Trainer<'_> {
    /// Does something that a plugin may fail in, again after each failure that the model can deal with.
    pub(super) fn recovering<T, E: Into<TrainError>>(
        &mut self,
        mut body: impl FnMut(&mut Self) -> Result<T, E>,
    ) -> Result<T, TrainError> {
        for _ in 0..RECOVERIES {
            let error = match body(self) {
                Ok(value) => return Ok(value),
                Err(error) => error.into(),
            };
            let recovered =
                self.training.model.recover(self.registry, &mut self.training.optimizer).unwrap_or_else(
                    |second| {
                        tracing::error!("it could not be dealt with: {second}");
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
