//! The rate of every seed follows its alpha.

use super::Trainer;
use crate::error::TrainError;
use kasmina::model::ModelError;

impl Trainer<'_> {
    /// Sets what the seeds' alphas ask for; where nothing changes, nothing is written.
    pub(super) fn pace(&mut self) -> Result<(), TrainError> {
        let config = &self.config.optimizer;
        for slot in self.model.slots() {
            let Some(owner) = slot.seed_owner() else { continue };
            let silent = slot.lifecycle().alpha() == 0.0;
            let factor = config.seed_rate * if silent { config.incubation_rate } else { 1.0 };
            self.optimizer.set_scale(&owner, factor).map_err(ModelError::from)?;
        }
        Ok(())
    }
}
