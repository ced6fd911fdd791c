//! Everything that decides which kernels a training step runs.

use crate::graft::{SeedSlot, SlotKernelState};
use crate::model::MorphogeneticModel;
use kasmina_torch_ext::optim::Optimizer;
use tch::{Kind, Tensor};

/// Everything that decides which kernels a training step runs, except the batch: structure revision,
/// optimizer layout, addresses and trainability of parameters, and the state of each slot.
#[derive(Debug, PartialEq)]
pub(super) struct Configuration {
    structure: u64,
    layout: u64,
    parameters: u64,
    slots: Vec<SlotKernelState>,
}

impl Configuration {
    pub(super) fn of(model: &MorphogeneticModel, optimizer: &Optimizer) -> Self {
        Self {
            structure: model.structure.revision(),
            layout: optimizer.layout(),
            parameters: optimizer.fingerprint(),
            slots: kernel_states(model).collect(),
        }
    }

    /// Whether model and optimizer still have this configuration. Called in every step, so it allocates
    /// nothing.
    pub(super) fn matches(&self, model: &MorphogeneticModel, optimizer: &Optimizer) -> bool {
        self.structure == model.structure.revision()
            && self.layout == optimizer.layout()
            && self.parameters == optimizer.fingerprint()
            && self.slots.iter().copied().eq(kernel_states(model))
    }
}

fn kernel_states(model: &MorphogeneticModel) -> impl Iterator<Item = SlotKernelState> {
    model.slots().iter().map(SeedSlot::kernel_state)
}

/// Variant of a step within a configuration: shapes and dtypes of the batch, the number of samples of all
/// ranks, and whether the step measures.
#[derive(Debug)]
pub(super) struct Variant {
    inputs: (Vec<i64>, Kind),
    targets: (Vec<i64>, Kind),
    samples: Option<i64>,
    watches: bool,
}

impl Variant {
    pub(super) fn of((inputs, targets): (&Tensor, &Tensor), samples: Option<i64>, watches: bool) -> Self {
        let of = |t: &Tensor| (t.size(), t.kind());
        Self { inputs: of(inputs), targets: of(targets), samples, watches }
    }

    /// Whether a step on this batch is of this variant.
    pub(super) fn matches(
        &self,
        (inputs, targets): (&Tensor, &Tensor),
        samples: Option<i64>,
        watches: bool,
    ) -> bool {
        let same = |mine: &(Vec<i64>, Kind), t: &Tensor| mine.1 == t.kind() && mine.0 == t.size();
        self.watches == watches
            && self.samples == samples
            && same(&self.inputs, inputs)
            && same(&self.targets, targets)
    }
}
