//! A saved network, ready to be used.

use crate::ExportError;
use kasmina::MorphogeneticModel;
use kasmina_plugin_api::Mode;
use kasmina_registry::Registry;
use kasmina_trainer::run::SavedNetwork;
use kasmina_trainer::task::Interface;
use tch::{Device, Tensor};

/// A saved network, ready to be used. One thread uses it at a time.
#[derive(Debug)]
pub struct Network {
    model: MorphogeneticModel,
    interface: Interface,
}

impl Network {
    /// Builds a saved network on a device.
    ///
    /// # Errors
    /// If a plugin of the network is missing or refused, or a tensor does not fit.
    pub fn build(saved: &SavedNetwork, registry: &Registry, device: Device) -> Result<Self, ExportError> {
        Ok(Self { model: saved.build(registry, device)?, interface: saved.interface()?.clone() })
    }

    /// What the network reads and predicts.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Computes the output for a batch, without gradients.
    ///
    /// # Shapes
    /// Images `[N, C, H, W]` give logits `[N, classes]`, tokens `[N, T]` logits `[N, T, vocabulary]`. The
    /// batch lies on the device of the network.
    ///
    /// # Errors
    /// If the shape does not fit, or a plugin fails.
    pub fn forward(&mut self, x: &Tensor) -> Result<Tensor, ExportError> {
        let _no_grad = tch::no_grad_guard();
        Ok(self.model.forward(x, Mode::Eval)?)
    }
}
