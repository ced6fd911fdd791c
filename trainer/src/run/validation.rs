//! Scoring the outputs of a network on the validation data of a task.

use crate::error::TrainError;
use crate::task::{Task, cross_entropy, hits};
use tch::{Kind, Tensor};

/// Result of a validation pass.
#[derive(Debug)]
pub(super) struct Validation {
    /// Mean loss of the samples.
    pub(super) loss: f64,
    /// Accuracy in percent.
    pub(super) accuracy: f64,
    /// Accuracy without each measured slot, in percent.
    pub(super) without: Vec<f64>,
    /// Whether each measured slot makes the outputs NaN or infinite.
    pub(super) unhealthy: Vec<bool>,
}

/// Validates `variants` variants of a network, of which the first is the network as it is. `forward` returns
/// the outputs of all variants for a batch.
pub(super) fn validate(
    task: &Task,
    variants: usize,
    forward: &mut dyn FnMut(&Tensor) -> Result<Vec<Tensor>, TrainError>,
) -> Result<Validation, TrainError> {
    Sums::of(task, variants, (0, 1), forward)?.validation(task)
}

/// Sums over the samples of a validation pass, on the device.
#[derive(Debug)]
pub(super) struct Sums {
    /// Sum of the losses; 0-dim.
    loss: Tensor,
    /// Number of correct predictions of each variant; `[variants]`.
    correct: Tensor,
    /// Sum of the outputs of each variant; `[variants]`. If any output is NaN or infinite, so is their sum,
    /// which costs one operation per variant.
    outputs: Tensor,
}

impl Sums {
    /// Runs the batches of one of several ranks, which take turns: `(rank, ranks)`.
    pub(super) fn of(
        task: &Task,
        variants: usize,
        (rank, ranks): (usize, usize),
        forward: &mut dyn FnMut(&Tensor) -> Result<Vec<Tensor>, TrainError>,
    ) -> Result<Self, TrainError> {
        let (samples, device) = (task.validation.len(), task.validation.device());
        let batch = (task.validation_batch / variants as i64).max(1);
        let _no_grad = tch::no_grad_guard();
        let mut loss = Tensor::f_zeros([], (Kind::Float, device))?;
        let mut correct = Tensor::f_zeros([variants as i64], (Kind::Int64, device))?;
        let mut sums = Tensor::f_zeros([variants as i64], (Kind::Double, device))?;
        for start in (0..samples).step_by(batch as usize).skip(rank).step_by(ranks) {
            let len = batch.min(samples - start);
            let (x, y) = task.validation.slice(start, len)?;
            let outputs = forward(&x)?;
            if let Some(as_is) = outputs.first() {
                loss = loss.f_add(&cross_entropy(as_is, &y)?.f_mul_scalar(len)?)?;
            }
            let hits = outputs.iter().map(|logits| hits(logits, &y)).collect::<Result<Vec<_>, _>>()?;
            correct = correct.f_add(&Tensor::f_stack(&hits, 0)?)?;
            let all =
                outputs.iter().map(|logits| logits.f_sum(Kind::Double)).collect::<Result<Vec<_>, _>>()?;
            sums = sums.f_add(&Tensor::f_stack(&all, 0)?)?;
        }
        Ok(Self { loss, correct, outputs: sums })
    }

    /// Returns the tensors, for sums over ranks.
    pub(super) fn tensors(&self) -> [&Tensor; 3] {
        [&self.loss, &self.correct, &self.outputs]
    }

    /// Returns the result of the whole pass. Waits for the device.
    pub(super) fn validation(&self, task: &Task) -> Result<Validation, TrainError> {
        let hits = Vec::<i64>::try_from(&self.correct)?;
        let targets = task.validation.targets() as f64;
        let mut accuracies = hits.into_iter().map(|n| 100.0 * n as f64 / targets);
        let accuracy = accuracies.next().unwrap_or(0.0);
        Ok(Validation {
            loss: read_scalar(&self.loss)? / task.validation.len() as f64,
            accuracy,
            without: accuracies.collect(),
            unhealthy: unhealthy_slots(&Vec::<bool>::try_from(self.outputs.f_isfinite()?)?),
        })
    }
}

/// Returns for each measured slot whether its seed makes the outputs NaN or infinite. `finite` says whether
/// the outputs are finite, first of the network as it is, then without each slot. If removing no slot makes
/// them finite, the host is the cause.
fn unhealthy_slots(finite: &[bool]) -> Vec<bool> {
    let Some((as_is, without)) = finite.split_first() else { return Vec::new() };
    without.iter().map(|finite| !as_is && *finite).collect()
}

/// Reads a 0-dim tensor. This waits for the device, so it is called only at the end of a pass.
pub(super) fn read_scalar(scalar: &Tensor) -> Result<f64, tch::TchError> {
    scalar.f_double_value(&[])
}

#[cfg(test)]
mod tests {
    use super::unhealthy_slots;

    #[test]
    fn a_slot_is_unhealthy_if_the_outputs_are_finite_only_without_it() {
        assert_eq!(unhealthy_slots(&[true, true, true]), [false, false]);
        assert_eq!(unhealthy_slots(&[false, true, false]), [true, false]);
        assert_eq!(unhealthy_slots(&[false, false, false]), [false, false], "the host is the cause");
        assert!(unhealthy_slots(&[false]).is_empty());
    }
}
