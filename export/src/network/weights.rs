//! Filling the variables of plugins with saved weights.

use crate::ExportError;
use kasmina_checkpoint::{TensorView, Tensors};
use kasmina_plugin_api::abi::Variable;
use kasmina_trainer::run::tensor_of;
use std::collections::BTreeMap;
use std::path::Path;

/// The weights of a saved network.
pub(super) struct Weights<'a> {
    views: BTreeMap<&'a str, TensorView<'a>>,
    path: &'a Path,
}

impl<'a> Weights<'a> {
    pub(super) fn new(tensors: &'a Tensors, path: &'a Path) -> Self {
        Self { views: tensors.iter().collect(), path }
    }

    /// Copies the weights under a prefix into the variables, which have the same names without it. The types
    /// may differ.
    ///
    /// # Errors
    /// If a weight is missing or has another shape.
    pub(super) fn fill(&self, prefix: &str, variables: Vec<Variable>) -> Result<(), ExportError> {
        let _no_grad = tch::no_grad_guard();
        for mut variable in variables {
            let name = format!("{prefix}{}", variable.name);
            let wrong = |reason: String| ExportError::Weight {
                path: self.path.to_owned(),
                name: name.clone(),
                reason,
            };
            let view = self.views.get(name.as_str()).ok_or_else(|| wrong("it is missing".to_owned()))?;
            let saved = tensor_of(&name, *view)?;
            if saved.size() != variable.tensor.size() {
                let (found, wanted) = (saved.size(), variable.tensor.size());
                return Err(wrong(format!("it has shape {found:?}; the network needs {wanted:?}")));
            }
            variable.tensor.f_copy_(&saved)?;
        }
        Ok(())
    }
}
