//! The tensors of a state, by name.

use super::StateError;
use kasmina_plugin_api::abi::Variable;
use std::collections::BTreeMap;
use tch::Tensor;

/// The tensors of a state: handles on the tensors themselves, which the next step moves.
#[derive(Debug, Default)]
pub struct StateTensors {
    /// Variables of the network: host, seeds and blends, buffers included.
    pub model: Vec<(String, Tensor)>,
    /// Everything else: generators, queued measurements.
    pub training: Vec<(String, Tensor)>,
}

impl StateTensors {
    /// Adds all variables of an instance, with a prefix to their names.
    pub(crate) fn add_variables(&mut self, prefix: &str, variables: Vec<Variable>) {
        self.model.extend(variables.into_iter().map(|v| (format!("{prefix}.{}", v.name), v.tensor)));
    }
}

/// The tensors that a state is given back with, on the CPU. Whoever uses one takes it out; at the end none
/// may be left.
#[derive(Debug, Default)]
pub struct GivenTensors {
    /// Variables of the network, by name.
    pub model: BTreeMap<String, Tensor>,
    /// All other tensors of the training state, by name.
    pub training: BTreeMap<String, Tensor>,
}

impl GivenTensors {
    /// Takes the tensors of an instance's variables out, each beside the variable that it is for. Nothing is
    /// copied yet.
    pub(crate) fn take_variables(
        &mut self,
        prefix: &str,
        variables: Vec<Variable>,
    ) -> Result<Vec<(Tensor, Tensor)>, StateError> {
        let pair = |variable: Variable| {
            let name = format!("{prefix}.{}", variable.name);
            let given = self.model.remove(&name).ok_or_else(|| StateError::Missing { name: name.clone() })?;
            let shown = |t: &Tensor| format!("{:?} {:?}", t.kind(), t.size());
            if (given.kind(), given.size()) != (variable.tensor.kind(), variable.tensor.size()) {
                let (found, wanted) = (shown(&given), shown(&variable.tensor));
                return Err(StateError::Other { name, found, wanted });
            }
            Ok((variable.tensor, given))
        };
        variables.into_iter().map(pair).collect()
    }

    /// Takes a queue of measurements out: one tensor per row, none where nothing was queued.
    pub(crate) fn take_rows(&mut self, name: &str) -> Result<Vec<Tensor>, StateError> {
        let Some(rows) = self.training.remove(name) else { return Ok(Vec::new()) };
        Ok(rows.f_unbind(0)?)
    }

    /// Refuses what nobody has taken out.
    ///
    /// # Errors
    /// If something is left.
    pub fn finish(self) -> Result<(), StateError> {
        let names: Vec<String> = self.model.into_keys().chain(self.training.into_keys()).collect();
        if names.is_empty() { Ok(()) } else { Err(StateError::Extra { names }) }
    }
}

/// Copies each second tensor over the first.
pub(crate) fn copy_all(pairs: &[(Tensor, Tensor)]) -> Result<(), StateError> {
    tch::no_grad(|| pairs.iter().try_for_each(|(to, from)| to.shallow_clone().f_copy_(from)))?;
    Ok(())
}

/// A queue of measurements as one tensor, the first dimension counting them; none where nothing is queued.
pub(crate) fn rows(queue: &[Tensor]) -> Result<Option<Tensor>, StateError> {
    if queue.is_empty() { Ok(None) } else { Ok(Some(Tensor::f_stack(queue, 0)?)) }
}
