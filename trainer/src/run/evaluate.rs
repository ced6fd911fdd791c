//! Evaluation of a trained network on the validation data of a task, as a run evaluates it.

use super::checkpoint::SavedNetwork;
use super::prepare::prepare_device;
use super::validation::{Validation, validate};
use crate::error::TrainError;
use crate::task::{Interface, Task};
use kasmina_registry::Registry;
use serde::Serialize;
use tch::Tensor;

/// Loss and accuracy of a network on validation data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Number of samples.
    pub samples: i64,
    /// Mean loss of the samples.
    pub loss: f64,
    /// Accuracy in percent.
    pub accuracy: f64,
    /// Accuracy without each seed that is active and not fossilized.
    pub without: Vec<WithoutSeed>,
}

/// Accuracy of a network without the seed in one slot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WithoutSeed {
    /// Name of the slot.
    pub slot: String,
    /// Accuracy in percent.
    pub accuracy: f64,
}

impl Evaluation {
    fn of(task: &Task, validation: &Validation, slots: impl Iterator<Item = String>) -> Self {
        let without = slots.zip(&validation.without);
        Self {
            samples: task.validation.len(),
            loss: validation.loss,
            accuracy: validation.accuracy,
            without: without.map(|(slot, &accuracy)| WithoutSeed { slot, accuracy }).collect(),
        }
    }
}

/// Evaluates any network that was trained for the task. `forward` returns the outputs for a batch.
///
/// # Errors
/// If the interface of the network differs from that of the task, or `forward` fails.
pub fn evaluate(
    task: &Task,
    interface: &Interface,
    forward: &mut dyn FnMut(&Tensor) -> Result<Tensor, TrainError>,
) -> Result<Evaluation, TrainError> {
    refuse_other_data(task, interface)?;
    let validation = validate(task, 1, &mut |x| Ok(vec![forward(x)?]))?;
    Ok(Evaluation::of(task, &validation, std::iter::empty()))
}

impl SavedNetwork {
    /// Evaluates the network on a task that was loaded to the device of its data. On the device of the run
    /// and with its data, the result is that of the run's own validation to the bit, unless alpha has changed
    /// after that validation.
    ///
    /// # Errors
    /// If the interface of the network differs from that of the task, or the network cannot be built.
    pub fn evaluate(&self, registry: &Registry, task: &Task) -> Result<Evaluation, TrainError> {
        refuse_other_data(task, self.interface()?)?;
        let device = task.validation.device();
        prepare_device(self.config(), device)?;
        let mut model = self.build(registry, device)?;
        let plan = model.counterfactual_plan();
        let validation =
            validate(task, plan.variants(), &mut |x| Ok(model.forward_counterfactual(x, &plan)?))?;
        Ok(Evaluation::of(task, &validation, plan.slots().map(str::to_owned)))
    }
}

/// Refuses data that the network does not read, or whose labels it does not predict.
fn refuse_other_data(task: &Task, interface: &Interface) -> Result<(), TrainError> {
    interface
        .difference(&task.interface)
        .map_or(Ok(()), |difference| Err(TrainError::OtherData { task: task.id, difference }))
}
