//! The tensors of a state, by name.

use super::StateError;
use kasmina_plugin_api::abi::Variable;
use std::collections::BTreeMap;
use tch::Tensor;

/// The tensors of a state. They share memory with the model, so the next training step changes them.
#[derive(Debug, Default)]
pub struct StateTensors {
    /// Variables of host, seeds and blends by name, buffers included.
    pub model: Vec<(String, Tensor)>,
    /// All other tensors by name: generator states, queued measurements.
    pub training: Vec<(String, Tensor)>,
}

impl StateTensors {
    /// Adds all variables of an instance, named `<prefix>.<variable>`.
    pub(crate) fn add_variables(&mut self, prefix: &str, variables: Vec<Variable>) {
        self.model.extend(variables.into_iter().map(|v| (format!("{prefix}.{}", v.name), v.tensor)));
    }
}

/// The tensors to restore a state from, on the CPU.
///
/// Each part of the model removes the tensors that it uses; [`finish`](Self::finish) refuses the rest.
#[derive(Debug, Default)]
pub struct RestoredTensors {
    /// Variables of the network, by name.
    pub model: BTreeMap<String, Tensor>,
    /// All other tensors of the training state, by name.
    pub training: BTreeMap<String, Tensor>,
}

impl RestoredTensors {
    /// Removes the tensors of an instance's variables and returns pairs of variable and restored tensor.
    /// Copies nothing yet. Refuses a missing tensor, or one of another shape or dtype.
    pub(crate) fn take_variables(
        &mut self,
        prefix: &str,
        variables: Vec<Variable>,
    ) -> Result<Vec<(Tensor, Tensor)>, StateError> {
        let pair = |variable: Variable| {
            let name = format!("{prefix}.{}", variable.name);
            let given =
                self.model.remove(&name).ok_or_else(|| StateError::MissingTensor { name: name.clone() })?;
            let describe = |t: &Tensor| format!("{:?} {:?}", t.kind(), t.size());
            if (given.kind(), given.size()) != (variable.tensor.kind(), variable.tensor.size()) {
                let (found, wanted) = (describe(&given), describe(&variable.tensor));
                return Err(StateError::TensorMismatch { name, found, wanted });
            }
            Ok((variable.tensor, given))
        };
        variables.into_iter().map(pair).collect()
    }

    /// Removes a queue of measurements and returns its rows; an empty list if nothing was queued.
    pub(crate) fn take_rows(&mut self, name: &str) -> Result<Vec<Tensor>, StateError> {
        let Some(rows) = self.training.remove(name) else { return Ok(Vec::new()) };
        Ok(rows.f_unbind(0)?)
    }

    /// Refuses tensors that no part of the model has used.
    ///
    /// # Errors
    /// [`StateError::UnknownTensors`] if a tensor is left.
    pub fn finish(self) -> Result<(), StateError> {
        let names: Vec<String> = self.model.into_keys().chain(self.training.into_keys()).collect();
        if names.is_empty() { Ok(()) } else { Err(StateError::UnknownTensors { names }) }
    }
}

/// Copies the second tensor of each pair into the first.
pub(crate) fn copy_all(pairs: &[(Tensor, Tensor)]) -> Result<(), StateError> {
    tch::no_grad(|| pairs.iter().try_for_each(|(to, from)| to.shallow_clone().f_copy_(from)))?;
    Ok(())
}

/// Stacks a queue of measurements along a new first dimension; `None` for an empty queue.
pub(crate) fn rows(queue: &[Tensor]) -> Result<Option<Tensor>, StateError> {
    if queue.is_empty() { Ok(None) } else { Ok(Some(Tensor::f_stack(queue, 0)?)) }
}
