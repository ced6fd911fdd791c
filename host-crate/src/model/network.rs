//! The host network of a model, with its device, layout and precision.

use super::Precision;
use super::frozen::FrozenHost;
use crate::graft::{SlotTapHandler, copy_all_variables, layout, trainable};
use crate::state::{PartState, StateError, StateTensors};
use kasmina_plugin_api::abi::{HostInstance, Variable};
use kasmina_plugin_api::{Layout, Mode, PluginError};
use kasmina_registry::Entry;
use kasmina_torch_ext::autocast::Autocast;
use kasmina_torch_ext::{NamedParameter, norm};
use std::collections::BTreeSet;
use tch::{Device, Tensor};

/// Owner name of the host's parameters in an optimizer.
pub const HOST_OWNER: &str = "host";

/// The host network of a model. One thread uses it at a time.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) instance: HostInstance,
    pub(super) entry: Entry,
    /// Configuration that the host was built with, kept to build it again on another device.
    pub(super) config: String,
    /// Trainable parameters, named `host.<n>` and sorted by name; those of a frozen host too.
    pub(super) parameters: Vec<NamedParameter>,
    /// Multiply-adds of one forward without seeds, per sample.
    pub(super) multiply_adds: u64,
    /// Memory layout of the host's features.
    pub(super) layout: Layout,
    pub(super) device: Device,
    pub(super) precision: Precision,
    /// `None` if the host learns.
    pub(super) frozen: Option<FrozenHost>,
}

impl Network {
    /// Runs the host; `taps` handles its slots.
    ///
    /// # Shapes
    /// `x`: as the host requires, with a batch dimension first; returns the host's output.
    pub(super) fn forward(
        &mut self,
        x: &Tensor,
        mode: Mode,
        taps: &mut SlotTapHandler<'_, '_>,
    ) -> Result<Tensor, PluginError> {
        let mode = if self.frozen.is_some() { Mode::Eval } else { mode };
        self.instance.forward(x, mode, taps)
    }

    /// Enables the model's precision on this thread until the returned guard is dropped.
    pub(super) fn precision_scope(&self) -> Result<Option<Autocast>, kasmina_torch_ext::Error> {
        self.precision.scope(self.device)
    }

    /// Returns the host's state, and adds its variables to `tensors`.
    pub(super) fn state(&self, tensors: &mut StateTensors) -> Result<PartState, StateError> {
        tensors.add_variables(HOST_OWNER, self.variables()?);
        Ok(PartState::of(&self.entry, &self.config, self.instance.state()?))
    }

    /// Restores the host's state bytes.
    pub(super) fn restore(&mut self, state: &PartState) -> Result<(), StateError> {
        if !state.bytes.is_empty() {
            self.instance.restore(&state.bytes, state.version)?;
        }
        Ok(())
    }

    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Returns all variables of the host, buffers included. The parameters of a frozen host are no buffers.
    pub(super) fn variables(&self) -> Result<Vec<Variable>, PluginError> {
        let mut variables = self.instance.variables()?;
        if self.frozen.is_some() {
            let names: BTreeSet<&str> = self.parameters.iter().map(|p| p.name.as_str()).collect();
            for variable in &mut variables {
                variable.trainable = names.contains(format!("{HOST_OWNER}.{}", variable.name).as_str());
            }
        }
        Ok(variables)
    }

    /// Returns the norm of the host's gradient as a 0-dim tensor on the device; `None` if no parameter has a
    /// gradient.
    pub(super) fn gradient_norm(&self) -> Result<Option<Tensor>, kasmina_torch_ext::Error> {
        norm::grad_norm(self.parameters.iter().map(|p| &p.tensor))
    }

    /// Sets whether the gradients of a frozen host are computed. Has no effect on a host that learns.
    pub(super) fn measure_frozen(&mut self, measured: bool) -> Result<(), tch::TchError> {
        self.frozen.as_mut().map_or(Ok(()), |frozen| frozen.measure(&self.parameters, measured))
    }

    /// Drops the gradients of a frozen host, which no optimizer drops.
    pub(super) fn drop_frozen_gradients(&self) -> Result<(), kasmina_torch_ext::Error> {
        let frozen = if self.frozen.is_some() { self.parameters.as_slice() } else { &[] };
        norm::clear_gradients(frozen.iter().map(|p| &p.tensor))
    }

    /// Replaces the host by an instance built on another device. Cannot fail.
    pub(super) fn relocate(
        &mut self,
        device: Device,
        instance: HostInstance,
        parameters: Vec<NamedParameter>,
    ) {
        (self.instance, self.parameters, self.device) = (instance, parameters, device);
        self.frozen = self.frozen.take().map(|_| FrozenHost::default());
    }

    /// Builds the same host on another device, with a copy of its variables; returns it with its parameters.
    pub(super) fn rebuilt_on(
        &self,
        device: Device,
    ) -> Result<(HostInstance, Vec<NamedParameter>), crate::graft::RebuildError> {
        let host = self.entry.make_host(device, &self.config)?;
        copy_all_variables(&self.variables()?, &host.variables()?)?;
        let parameters = trainable(HOST_OWNER, host.variables()?);
        layout::apply_layout(&parameters, self.layout)?;
        Ok((host, parameters))
    }
}
