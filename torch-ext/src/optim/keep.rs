//! Saving and restoring an optimizer's state.

use super::Optimizer;
use super::state::OptimizerState;
use crate::sink::SinkError;
use std::collections::BTreeMap;
use tch::Tensor;

impl Optimizer {
    /// Returns the scalar state. No host sync.
    pub fn kept(&self) -> OptimizerState {
        OptimizerState {
            learning_rate: self.learning_rate,
            groups: self.groups.iter().map(|(owner, group)| (owner.clone(), group.scalar_state())).collect(),
            departed: self.departed.clone(),
        }
    }

    /// Returns handles on the state tensors by name: `<parameter>.exp_avg`, `<parameter>.exp_avg_sq` and
    /// `<parameter>.step` for AdamW, `<parameter>.momentum_buffer` for SGD, and `<owner>.skipped_steps`.
    ///
    /// # Shapes
    /// Moments and momentum buffers: the parameter's; `step` and `skipped_steps`: `[]`.
    pub fn state_tensors(&self) -> Vec<(String, Tensor)> {
        self.groups.iter().flat_map(|(owner, group)| group.all_tensors(owner)).collect()
    }

    /// Restores a saved state. The optimizer must already contain the same groups. Every tensor that is used
    /// is removed from `tensors`; those that remain belong to no group.
    ///
    /// # Shapes
    /// Those of [`state_tensors`](Self::state_tensors).
    ///
    /// # Errors
    /// If the owners differ, or a tensor is missing or has another shape or dtype. Part of the state may have
    /// been restored by then.
    pub fn take_over(
        &mut self,
        kept: &OptimizerState,
        tensors: &mut BTreeMap<String, Tensor>,
    ) -> Result<(), SinkError> {
        if let Some(owner) = kept.groups.keys().find(|owner| !self.groups.contains_key(*owner)) {
            return Err(SinkError::UnknownOwner(owner.clone()));
        }
        self.learning_rate = kept.learning_rate;
        self.departed.clone_from(&kept.departed);
        for (owner, group) in &mut self.groups {
            let wrong = |reason: String| SinkError::State { owner: owner.clone(), reason };
            let numbers = kept
                .groups
                .get(owner)
                .ok_or_else(|| wrong("the saved state does not contain it".to_owned()))?;
            for (name, mut to) in group.all_tensors(owner) {
                let from =
                    tensors.remove(&name).ok_or_else(|| wrong(format!("tensor `{name}` is missing")))?;
                if (from.kind(), from.size()) != (to.kind(), to.size()) {
                    return Err(wrong(format!(
                        "saved tensor `{name}` is {:?} {:?}; it must be {:?} {:?}",
                        from.kind(),
                        from.size(),
                        to.kind(),
                        to.size()
                    )));
                }
                tch::no_grad(|| to.f_copy_(&from)).map_err(|e| wrong(e.to_string()))?;
            }
            group.restore_scalar_state(*numbers, kept.learning_rate).map_err(|e| wrong(e.to_string()))?;
        }
        Ok(())
    }
}
