//! Alpha as a tensor on the device.

use super::contract;
use kasmina_plugin_api::{PluginError, Site};
use tch::Tensor;

/// Alpha of a slot as a 0-dim tensor, with a copy of its value on the host.
///
/// The tensor stays at one address and is written only between steps, so that captured steps can read it.
#[derive(Debug)]
pub(crate) struct DeviceAlpha {
    tensor: Tensor,
    value: f64,
}

impl DeviceAlpha {
    /// Creates the tensor on the device of a site.
    pub(super) fn new(site: &Site, value: f64) -> Result<Self, PluginError> {
        let tensor = Tensor::f_full([], value, (contract::alpha_kind(site.dtype()), site.device()))?;
        Ok(Self { tensor, value })
    }

    /// Writes the value to the device if it has changed.
    pub(super) fn set(&mut self, value: f64) -> Result<(), PluginError> {
        if self.value != value {
            let _ = self.tensor.f_fill_(value)?;
            self.value = value;
        }
        Ok(())
    }

    pub(super) fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    pub(super) fn value(&self) -> f64 {
        self.value
    }
}
