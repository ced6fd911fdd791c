//! A recorded step.

use crate::graft::Queued;
use crate::model::{ModelError, MorphogeneticModel};
use kasmina_plugin_api::Layout;
use kasmina_torch_ext::autograd;
use kasmina_torch_ext::cuda::graph::Graph;
use tch::{Device, Tensor};

/// Where a recorded step finds its batch.
#[derive(Debug)]
pub(super) struct Inputs {
    inputs: Tensor,
    targets: Tensor,
}

impl Inputs {
    /// Images lie as the host's features do: the copy of a batch into its place can turn it around, and the
    /// host need not.
    pub(super) fn like((inputs, targets): (&Tensor, &Tensor), layout: Layout) -> Result<Self, ModelError> {
        let mut place = inputs.f_empty_like()?;
        if layout == Layout::ChannelsLast && inputs.dim() == 4 {
            place = autograd::to_channels_last(&place)?;
        }
        Ok(Self { inputs: place, targets: targets.f_empty_like()? })
    }

    pub(super) fn batch(&self) -> (&Tensor, &Tensor) {
        (&self.inputs, &self.targets)
    }

    pub(super) fn device(&self) -> Device {
        self.inputs.device()
    }

    fn take(&mut self, (inputs, targets): (&Tensor, &Tensor)) -> Result<(), ModelError> {
        self.inputs.f_copy_(inputs)?;
        self.targets.f_copy_(targets)?;
        Ok(())
    }
}

/// A graph with the places where it reads and writes.
#[derive(Debug)]
pub(super) struct Captured {
    pub(super) graph: Graph,
    pub(super) inputs: Inputs,
    pub(super) value: Tensor,
    /// What the step queues for the edge of the epoch, slot by slot: written anew by each replay, so copied
    /// after it.
    pub(super) queued: Vec<Queued>,
}

impl Captured {
    pub(super) fn replay(
        &mut self,
        model: &mut MorphogeneticModel,
        batch: (&Tensor, &Tensor),
    ) -> Result<Tensor, ModelError> {
        self.inputs.take(batch)?;
        self.graph.replay()?;
        model.slots.queue_copies(&self.queued)?;
        Ok(self.value.shallow_clone())
    }
}
