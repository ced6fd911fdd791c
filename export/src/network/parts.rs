//! The parts of a network, for writing them in another format.

use super::Network;
use super::slot::{OccupiedSlot, named_tensors};
use crate::ExportError;
use crate::names::key;
use kasmina_plugin_api::{Mode, Result, TapHandler};
use kasmina_torch_ext::traced::NamedTensor;
use tch::Tensor;

impl Network {
    /// Returns all variables by the names that they have in the generated PyTorch modules.
    pub(crate) fn named_tensors(&self) -> Result<Vec<NamedTensor>> {
        let mut all = named_tensors("", self.host.variables()?);
        for slot in self.slots.iter().flatten() {
            all.extend(slot.named_tensors(&format!("slots.{}.", key(slot.name())))?);
        }
        Ok(all)
    }

    /// Returns the slots with a seed, in the order of the host's slots.
    pub(crate) fn occupied(&mut self) -> impl Iterator<Item = &mut OccupiedSlot> {
        self.slots.iter_mut().flatten()
    }

    /// Returns the features that each seed reads for an input, in the order of [`occupied`](Self::occupied).
    pub(crate) fn features(&mut self, x: &Tensor) -> Result<Vec<Tensor>> {
        let _no_grad = tch::no_grad_guard();
        let mut recorder = Recorder { slots: &mut self.slots, features: Vec::new() };
        let _ = self.host.forward(x, Mode::Eval, &mut recorder)?;
        Ok(recorder.features)
    }

    /// Copies the weights of the host, with their types, into other tensors of the same names.
    ///
    /// # Errors
    /// If a name is not one of the host's.
    pub(crate) fn copy_host_weights(
        &self,
        to: Vec<(String, Tensor)>,
    ) -> std::result::Result<(), ExportError> {
        let _no_grad = tch::no_grad_guard();
        let host = self.host.variables()?;
        for (name, mut tensor) in to {
            let from = host.iter().find(|variable| variable.name == name).ok_or_else(|| {
                ExportError::Untraceable { reason: format!("the host has no weight `{name}` of its module") }
            })?;
            tensor.set_data(&from.tensor.f_detach()?);
        }
        Ok(())
    }
}

/// Runs the seeds, and keeps what they read.
struct Recorder<'a> {
    slots: &'a mut [Option<OccupiedSlot>],
    features: Vec<Tensor>,
}

impl TapHandler for Recorder<'_> {
    fn at(&mut self, slot: usize, x: Tensor) -> Result<Tensor> {
        let Some(Some(occupied)) = self.slots.get_mut(slot) else { return Ok(x) };
        let output = occupied.forward(&x)?;
        self.features.push(x);
        Ok(output)
    }
}
