//! A host whose parameters do not learn.
//!
//! Gate G2 compares the gradient of a seed with that of the host. So the parameters of a frozen host require
//! gradients in the steps that measure, and in no others: a step in between computes no gradient of a weight
//! of the host.

use kasmina_torch_ext::NamedParameter;

/// State of a host whose parameters do not learn.
#[derive(Debug, Default)]
pub(super) struct FrozenHost {
    /// Whether the parameters require gradients at present; `None` if that was not set yet.
    measured: Option<bool>,
}

impl FrozenHost {
    /// Sets whether the gradients of the host's parameters are computed.
    pub(super) fn measure(
        &mut self,
        parameters: &[NamedParameter],
        measured: bool,
    ) -> Result<(), tch::TchError> {
        if self.measured != Some(measured) {
            for parameter in parameters {
                let _ = parameter.tensor.f_set_requires_grad(measured)?;
            }
            self.measured = Some(measured);
        }
        Ok(())
    }
}
