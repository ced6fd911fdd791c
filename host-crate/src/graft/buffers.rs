//! Saving and restoring the buffers that a forward changes, such as running statistics.

use kasmina_plugin_api::Result;
use kasmina_plugin_api::abi::Variable;
use tch::Tensor;

/// Buffers, each with a copy of its saved value.
#[derive(Debug)]
pub(crate) struct Buffers(Vec<(Tensor, Tensor)>);

impl Buffers {
    /// Saves the variables that are not trainable.
    pub(crate) fn of<'v>(variables: impl IntoIterator<Item = &'v Variable>) -> Self {
        let buffers = variables.into_iter().filter(|v| !v.trainable);
        Self(tch::no_grad(|| buffers.map(|v| (v.tensor.shallow_clone(), v.tensor.copy())).collect()))
    }

    /// Restores every buffer to its saved value.
    pub(crate) fn restore(&self) -> Result<()> {
        let back = |(now, before): &(Tensor, Tensor)| now.shallow_clone().f_copy_(before).map(drop);
        Ok(tch::no_grad(|| self.0.iter().try_for_each(back))?)
    }
}
