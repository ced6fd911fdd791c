//! The parts of a network, for writing them in another format.

use super::Network;
use super::slot::{OccupiedSlot, named_tensors};
use crate::ExportError;
use crate::names::key;
use kasmina_plugin_api::abi::Variable;
use kasmina_plugin_api::{Result, TapHandler};
use kasmina_torch_ext::neighbours::{Neighbours, mark, neighbours};
use kasmina_torch_ext::script::Failed;
use kasmina_torch_ext::traced::NamedTensor;
use std::collections::BTreeMap;
use tch::Tensor;

impl Network {
    /// Returns the variables of the host.
    fn host_variables(&self) -> Result<Vec<Variable>> {
        // A module is not exported again.
        Ok(self.host.variables()?.unwrap_or_default())
    }

    /// Returns all variables by the names that they have in the generated PyTorch modules.
    pub(crate) fn named_tensors(&self) -> Result<Vec<NamedTensor>> {
        let mut all = named_tensors("", self.host_variables()?);
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
        let _ = self.host.forward(x, &mut recorder)?;
        Ok(recorder.features)
    }

    /// Returns what stands before and after each slot with a seed, in the order of
    /// [`occupied`](Self::occupied).
    pub(crate) fn neighbours(&mut self, x: &Tensor) -> std::result::Result<Vec<Neighbours>, ExportError> {
        let _no_grad = tch::no_grad_guard();
        let variables = named_tensors("", self.host_variables()?);
        let occupied: Vec<bool> = self.slots.iter().map(Option::is_some).collect();
        let found =
            neighbours(&variables, x, &mut |x| self.host.forward(&x, &mut Marker { occupied: &occupied }));
        let found = found.map_err(|failed| match failed {
            Failed::Tap(error) => ExportError::from(error),
            Failed::Torch(error) => error.into(),
        })?;
        let wanted = occupied.iter().filter(|occupied| **occupied).count();
        if found.len() == wanted {
            return Ok(found);
        }
        let reason =
            format!("the trace of the host contains {} of its {wanted} slots with seeds", found.len());
        Err(ExportError::NotFolded { reasons: vec![reason] })
    }

    /// Returns the host's float32 weights by name.
    pub(crate) fn host_tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let single = self.host_variables()?.into_iter().filter(|v| v.tensor.kind() == tch::Kind::Float);
        single.map(|v| Ok((v.name, v.tensor.f_detach()?))).collect()
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
        let host = self.host_variables()?;
        for (name, mut tensor) in to {
            let from = host.iter().find(|variable| variable.name == name).ok_or_else(|| {
                ExportError::Untraceable { reason: format!("the host has no weight `{name}` of its module") }
            })?;
            tensor.set_data(&from.tensor.f_detach()?);
        }
        Ok(())
    }
}

/// Marks the features of slots with seeds, without running the seeds.
struct Marker<'a> {
    occupied: &'a [bool],
}

impl TapHandler for Marker<'_> {
    fn at(&mut self, slot: usize, x: Tensor) -> Result<Tensor> {
        Ok(if self.occupied.get(slot) == Some(&true) { mark(&x)? } else { x })
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
