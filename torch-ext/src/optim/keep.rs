//! Keeping an optimizer's state elsewhere, and going on from it.

use super::Optimizer;
use super::state::OptimizerState;
use crate::sink::SinkError;
use std::collections::BTreeMap;
use tch::Tensor;

impl Optimizer {
    /// The numbers that it keeps. No host sync.
    pub fn kept(&self) -> OptimizerState {
        OptimizerState {
            learning_rate: self.learning_rate,
            groups: self.groups.iter().map(|(owner, group)| (owner.clone(), group.kept())).collect(),
            departed: self.departed.clone(),
        }
    }

    /// The tensors that it keeps, the tensors themselves: `<parameter>.exp_avg`, `<parameter>.exp_avg_sq`,
    /// `<parameter>.step` (`<parameter>.momentum_buffer` with SGD), and `<owner>.skipped_steps`.
    pub fn state_tensors(&self) -> Vec<(String, Tensor)> {
        self.groups.iter().flat_map(|(owner, group)| group.all_tensors(owner)).collect()
    }

    /// Goes on from a state that was kept. The groups must be there already. Every tensor that is used is
    /// taken out of `tensors`; what is left there is nobody's.
    ///
    /// # Errors
    /// If the owners are others, or a tensor is missing or has another shape or dtype. Some of the state may
    /// have been taken over by then.
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
            let numbers =
                kept.groups.get(owner).ok_or_else(|| wrong("no state of it was kept".to_owned()))?;
            for (name, mut to) in group.all_tensors(owner) {
                let from =
                    tensors.remove(&name).ok_or_else(|| wrong(format!("tensor `{name}` is missing")))?;
                if (from.kind(), from.size()) != (to.kind(), to.size()) {
                    return Err(wrong(format!(
                        "tensor `{name}` is {:?} {:?}, it must be {:?} {:?}",
                        from.kind(),
                        from.size(),
                        to.kind(),
                        to.size()
                    )));
                }
                tch::no_grad(|| to.f_copy_(&from)).map_err(|e| wrong(e.to_string()))?;
            }
            group.go_on_from(*numbers, kept.learning_rate).map_err(|e| wrong(e.to_string()))?;
        }
        Ok(())
    }
}
