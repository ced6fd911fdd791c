//! Variables that a forward moves without an optimizer (running statistics), kept to be put back.

use kasmina_plugin_api::Result;
use kasmina_plugin_api::abi::Variable;
use tch::Tensor;

/// Each with a copy of what it was.
#[derive(Debug)]
pub(crate) struct Buffers(Vec<(Tensor, Tensor)>);

impl Buffers {
    /// Of some instances' variables, those that do not learn.
    pub(crate) fn of<'v>(variables: impl IntoIterator<Item = &'v Variable>) -> Self {
        let buffers = variables.into_iter().filter(|v| !v.trainable);
        Self(tch::no_grad(|| buffers.map(|v| (v.tensor.shallow_clone(), v.tensor.copy())).collect()))
    }

    /// Each is what it was again.
    pub(crate) fn put_back(&self) -> Result<()> {
        let back = |(now, before): &(Tensor, Tensor)| now.shallow_clone().f_copy_(before).map(drop);
        Ok(tch::no_grad(|| self.0.iter().try_for_each(back))?)
    }
}
