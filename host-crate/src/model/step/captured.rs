//! A captured training step.

use crate::graft::Queued;
use crate::model::{ModelError, MorphogeneticModel};
use kasmina_plugin_api::Layout;
use kasmina_torch_ext::autograd;
use kasmina_torch_ext::cuda::graph::Graph;
use tch::{Device, Tensor};

/// Input tensors of a captured step, at fixed addresses; each batch is copied into them.
#[derive(Debug)]
pub(super) struct Inputs {
    inputs: Tensor,
    targets: Tensor,
}

impl Inputs {
    /// Allocates tensors like a batch. Images get the layout of the host's features, so that copying the
    /// batch converts it and the host need not.
    ///
    /// # Shapes
    /// `inputs` and `targets`: `[batch, ...]`, as those of the steps to come.
    pub(super) fn new_like(
        (inputs, targets): (&Tensor, &Tensor),
        layout: Layout,
    ) -> Result<Self, ModelError> {
        let mut like_inputs = inputs.f_empty_like()?;
        if layout == Layout::ChannelsLast && inputs.dim() == 4 {
            like_inputs = autograd::to_channels_last(&like_inputs)?;
        }
        Ok(Self { inputs: like_inputs, targets: targets.f_empty_like()? })
    }

    pub(super) fn batch(&self) -> (&Tensor, &Tensor) {
        (&self.inputs, &self.targets)
    }

    pub(super) fn device(&self) -> Device {
        self.inputs.device()
    }

    /// Copies a batch into the tensors.
    fn copy_from(&mut self, (inputs, targets): (&Tensor, &Tensor)) -> Result<(), ModelError> {
        self.inputs.f_copy_(inputs)?;
        self.targets.f_copy_(targets)?;
        Ok(())
    }
}

/// A CUDA graph of a step, with the tensors that it reads and writes.
#[derive(Debug)]
pub(super) struct Captured {
    pub(super) graph: Graph,
    pub(super) inputs: Inputs,
    /// The loss, 0-dim.
    pub(super) value: Tensor,
    /// Measurements of the step, slot by slot. Each replay overwrites them, so they are copied after it.
    pub(super) queued: Vec<Queued>,
}

impl Captured {
    /// Replays the step on a batch; returns the loss, which the next replay overwrites.
    ///
    /// # Shapes
    /// `batch`: as in the captured step; the loss is 0-dim.
    pub(super) fn replay(
        &mut self,
        model: &mut MorphogeneticModel,
        batch: (&Tensor, &Tensor),
    ) -> Result<Tensor, ModelError> {
        self.inputs.copy_from(batch)?;
        self.graph.replay()?;
        model.slots.queue_copies(&self.queued)?;
        Ok(self.value.shallow_clone())
    }
}
