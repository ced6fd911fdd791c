//! Naming, counting and copying the variables of instances.

use kasmina_plugin_api::PluginError;
use kasmina_plugin_api::abi::Variable;
use kasmina_torch_ext::NamedParameter;

/// Returns the owner name of a seed's parameters in an optimizer, which is also the prefix of their names.
pub(crate) fn seed_group(slot: &str) -> String {
    format!("slot.{slot}.seed")
}

/// Returns the owner name of a blend's parameters, as [`seed_group`].
pub(crate) fn blend_group(slot: &str) -> String {
    format!("slot.{slot}.blend")
}

/// Returns the trainable variables of an instance, named `<group>.<variable>`.
pub(crate) fn trainable(group: &str, variables: Vec<Variable>) -> Vec<NamedParameter> {
    variables
        .into_iter()
        .filter(|v| v.trainable)
        .map(|v| NamedParameter { name: format!("{group}.{}", v.name), tensor: v.tensor })
        .collect()
}

/// Returns the total number of elements of the parameters.
pub(crate) fn count<'a>(parameters: impl IntoIterator<Item = &'a NamedParameter>) -> u64 {
    parameters.into_iter().map(|p| p.tensor.numel() as u64).sum()
}

/// Copies the variables that have the same name and shape on both sides; the others keep their new values.
pub(crate) fn copy_matching_variables(from: &[Variable], to: &[Variable]) -> Result<(), PluginError> {
    tch::no_grad(|| {
        for to in to {
            let same = |v: &&Variable| v.name == to.name && v.tensor.size() == to.tensor.size();
            if let Some(from) = from.iter().find(same) {
                to.tensor.shallow_clone().f_copy_(&from.tensor)?;
            }
        }
        Ok(())
    })
}

/// Copies all variables; refuses two lists whose names or shapes differ.
pub(crate) fn copy_all_variables(from: &[Variable], to: &[Variable]) -> Result<(), PluginError> {
    let shape = |v: &Variable| (v.name.clone(), v.tensor.size());
    if !from.iter().map(shape).eq(to.iter().map(shape)) {
        let text = "building it again with the same configuration gave different variables";
        return Err(PluginError::contract(text));
    }
    copy_matching_variables(from, to)
}
