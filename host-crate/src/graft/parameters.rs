//! Parameters and other variables of living instances: their names, their number, and copying them.

use kasmina_plugin_api::PluginError;
use kasmina_plugin_api::abi::Variable;
use kasmina_torch_ext::NamedParameter;

/// The owner of a seed's parameters in an optimizer, and the beginning of their names.
pub(crate) fn seed_group(slot: &str) -> String {
    format!("slot.{slot}.seed")
}

/// The same of a blend's parameters.
pub(crate) fn blend_group(slot: &str) -> String {
    format!("slot.{slot}.blend")
}

/// The trainable ones of an instance's variables, by their full names.
pub(crate) fn trainable(group: &str, variables: Vec<Variable>) -> Vec<NamedParameter> {
    variables
        .into_iter()
        .filter(|v| v.trainable)
        .map(|v| NamedParameter { name: format!("{group}.{}", v.name), tensor: v.tensor })
        .collect()
}

/// Number of elements of the given parameters.
pub(crate) fn count<'a>(parameters: impl IntoIterator<Item = &'a NamedParameter>) -> u64 {
    parameters.into_iter().map(|p| p.tensor.numel() as u64).sum()
}

/// Copies what goes by the same name and has the same shape; the rest begins anew.
pub(crate) fn bring_over(from: &[Variable], to: &[Variable]) -> Result<(), PluginError> {
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

/// Copies variables that must be the same on both sides.
pub(crate) fn bring_all_over(from: &[Variable], to: &[Variable]) -> Result<(), PluginError> {
    let shape = |v: &Variable| (v.name.clone(), v.tensor.size());
    if !from.iter().map(shape).eq(to.iter().map(shape)) {
        let text = "built twice with one configuration, it has other variables the second time";
        return Err(PluginError::contract(text));
    }
    bring_over(from, to)
}
