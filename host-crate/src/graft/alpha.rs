//! The alpha that features are mixed by, on the device.

use super::contract;
use kasmina_plugin_api::{PluginError, Site};
use tch::Tensor;

/// A 0-dim tensor that is written only between steps, so that recorded steps read it where it lies, and its
/// value.
#[derive(Debug)]
pub(crate) struct DeviceAlpha {
    tensor: Tensor,
    value: f64,
}

impl DeviceAlpha {
    /// Makes the tensor on the device of a site.
    pub(super) fn new(site: &Site, value: f64) -> Result<Self, PluginError> {
        let tensor = Tensor::f_full([], value, (contract::alpha_kind(site.dtype()), site.device()))?;
        Ok(Self { tensor, value })
    }

    /// Writes the value to the device, if it is another than before.
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
