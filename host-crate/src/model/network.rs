//! The host network: its instance, where and how it computes.

use super::Precision;
use crate::graft::{Grafting, bring_all_over, layout, trainable};
use crate::state::{PartState, StateError, StateTensors};
use kasmina_plugin_api::abi::{HostInstance, Variable};
use kasmina_plugin_api::{Layout, Mode, PluginError};
use kasmina_registry::Entry;
use kasmina_torch_ext::autocast::Autocast;
use kasmina_torch_ext::{NamedParameter, norm};
use tch::{Device, Tensor};

/// The owner name of the host's parameters in an optimizer.
pub const HOST_OWNER: &str = "host";

/// The host of a model. One thread uses it at a time.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) instance: HostInstance,
    pub(super) entry: Entry,
    /// The configuration as it was given, to build the same again on another device.
    pub(super) config: String,
    /// Trainable parameters, named `host.<n>` and sorted by name.
    pub(super) parameters: Vec<NamedParameter>,
    /// Multiply-adds of a forward without seeds, per sample.
    pub(super) multiply_adds: u64,
    /// How its features lie in memory.
    pub(super) layout: Layout,
    pub(super) device: Device,
    pub(super) precision: Precision,
}

impl Network {
    /// The output of the host with these slots lent to it.
    pub(super) fn forward(
        &mut self,
        x: &Tensor,
        mode: Mode,
        taps: &mut Grafting<'_, '_>,
    ) -> Result<Tensor, PluginError> {
        self.instance.forward(x, mode, taps)
    }

    /// Computes in the model's precision on this thread until the answer is dropped.
    pub(super) fn precision_scope(&self) -> Result<Option<Autocast>, kasmina_torch_ext::Error> {
        self.precision.scope(self.device)
    }

    /// How the host was made, its state bytes, and its variables.
    pub(super) fn state(&self, tensors: &mut StateTensors) -> Result<PartState, StateError> {
        tensors.add_variables(HOST_OWNER, self.variables()?);
        Ok(PartState::of(&self.entry, &self.config, self.instance.state()?))
    }

    /// Restores the host from the state of a checkpoint.
    pub(super) fn restore(&mut self, state: &PartState) -> Result<(), StateError> {
        if !state.bytes.is_empty() {
            self.instance.restore(&state.bytes, state.version)?;
        }
        Ok(())
    }

    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// All variables, those that do not learn included.
    pub(super) fn variables(&self) -> Result<Vec<Variable>, PluginError> {
        self.instance.variables()
    }

    /// The norm of the host's gradient, on the device; none if no parameter has one.
    pub(super) fn gradient_norm(&self) -> Result<Option<Tensor>, kasmina_torch_ext::Error> {
        norm::grad_norm(self.parameters.iter().map(|p| &p.tensor))
    }

    /// Takes an instance that was built for another device. Cannot fail.
    pub(super) fn relocate(
        &mut self,
        device: Device,
        instance: HostInstance,
        parameters: Vec<NamedParameter>,
    ) {
        (self.instance, self.parameters, self.device) = (instance, parameters, device);
    }

    /// The same host on another device, with its variables, and handles on its parameters.
    pub(super) fn rebuilt_on(
        &self,
        device: Device,
    ) -> Result<(HostInstance, Vec<NamedParameter>), crate::graft::RebuildError> {
        let host = self.entry.make_host(device, &self.config)?;
        bring_all_over(&self.variables()?, &host.variables()?)?;
        let parameters = trainable(HOST_OWNER, host.variables()?);
        layout::settle(&parameters, self.layout)?;
        Ok((host, parameters))
    }
}
