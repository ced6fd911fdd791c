//! What the ranks of a run do together in each training step.

use super::super::{ModelError, MorphogeneticModel};
use crate::consensus::{Consensus, ConsensusError};
use kasmina_torch_ext::NamedParameter;
use std::fmt::Debug;
use tch::Tensor;

/// Sums the gradients of a step over the ranks. A stepper without one trains alone.
///
/// Every rank calls the same methods in the same order.
pub trait GradientReduction: Send + Debug {
    /// Prepares for the parameters that learn. Called before each step, outside of a capture. `structure` is
    /// a number that changes on all ranks whenever the parameters do; only then is `parameters` called.
    ///
    /// # Errors
    /// If the ranks have other parameters, or one does not answer.
    fn prepare(
        &mut self,
        structure: u64,
        parameters: &dyn Fn() -> Vec<NamedParameter>,
        consensus: &mut dyn Consensus,
    ) -> Result<(), ConsensusError>;

    /// Runs forward and backward of each of the `parts` parts of a batch, and replaces every gradient by its
    /// sum over all ranks. May be captured: it queues work on the current stream, and is not called when the
    /// step is replayed.
    ///
    /// # Errors
    /// The error of `pass`, or that a rank is lost.
    fn reduce(
        &mut self,
        parts: usize,
        pass: &mut dyn FnMut(usize) -> Result<(), ModelError>,
    ) -> Result<(), ModelError>;

    /// Replaces tensors by their sums over all ranks. May be captured.
    ///
    /// # Shapes
    /// Any, the same on all ranks.
    ///
    /// # Errors
    /// If a rank is lost.
    fn sum(&mut self, tensors: &[Tensor]) -> Result<(), ModelError>;

    /// Ends a step, outside of a capture. `step` is the number of completed steps.
    ///
    /// # Errors
    /// If a rank is lost or late.
    fn end_step(&mut self, step: u64) -> Result<(), ConsensusError>;
}

impl MorphogeneticModel {
    /// Prepares a reduction for the parameters that learn now.
    pub(super) fn prepare_reduction(
        &mut self,
        reduction: &mut dyn GradientReduction,
    ) -> Result<(), ModelError> {
        let structure = self.structure.revision();
        let (network, slots) = (&self.network, &self.slots);
        let parameters = || {
            // The gradients of a frozen host exist only in the steps that measure them.
            let host = network.parameters.iter().filter(|_| network.frozen.is_none());
            host.chain(slots.parameters()).map(NamedParameter::share).collect()
        };
        Ok(reduction.prepare(structure, &parameters, self.consensus.as_mut())?)
    }

    /// Whether all ranks agree that something is so; a rank alone decides for itself.
    pub(super) fn all_ranks(&mut self, mine: bool) -> Result<bool, ModelError> {
        if self.consensus.ranks() == 1 {
            return Ok(mine);
        }
        Ok(self.consensus.refusals(mine)?.is_empty())
    }
}
