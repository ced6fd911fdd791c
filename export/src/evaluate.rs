//! Evaluation on the validation data of a task.

use crate::{ExportError, Network, Source};
use kasmina_registry::Registry;
use kasmina_trainer::run::{Evaluation, evaluate};
use kasmina_trainer::task::Task;

impl Source {
    /// Evaluates the network on a task, on the device of its data. A checkpoint is evaluated as its run
    /// evaluates it, to the bit.
    ///
    /// # Errors
    /// If the data are not what the network reads and predicts, or the network cannot be built.
    pub fn evaluate(&self, registry: &Registry, task: &Task) -> Result<Evaluation, ExportError> {
        if let Self::Checkpoint(saved) = self {
            return Ok(saved.evaluate(registry, task)?);
        }
        let mut network = Network::of(self, registry, task.validation.device())?;
        Ok(evaluate(task, self.interface()?, &mut |x| Ok(network.forward(x)?))?)
    }
}
