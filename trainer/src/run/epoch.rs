//! The two passes of an epoch: the training steps, and the validation with counterfactuals.

use super::checkpoint::{Position, When};
use super::observer::Observer;
use super::tally::TrainedEpoch;
use super::trainer::Trainer;
use super::training::Training;
use crate::error::TrainError;
use crate::schedule::learning_rate;
use crate::task::{cross_entropy, hits};
use kasmina::model::CounterfactualPlan;
use kasmina_torch_ext::rng::{derive_seed, seed_all};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tch::{Kind, Tensor};

/// Result of a validation pass.
#[derive(Debug)]
pub(super) struct Validation {
    pub(super) loss: f64,
    /// Accuracy in percent.
    pub(super) accuracy: f64,
    /// Accuracy without each measured slot, in percent.
    pub(super) without: Vec<f64>,
    /// Whether each measured slot makes the outputs NaN or infinite.
    pub(super) unhealthy: Vec<bool>,
}

impl Trainer<'_> {
    /// Trains one epoch and returns its mean loss, or `None` if it was stopped. The loss is summed on the
    /// device and read once, so that no step waits for the device.
    pub(super) fn train_epoch(
        &mut self,
        epoch: u32,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Option<f64>, TrainError> {
        let clock = Instant::now();
        let samples = self.task.train.len();
        let batch = self.config.optimizer.batch_size;
        let per_epoch = self.task.train.steps(self.config.optimizer.batch_size);
        let total = per_epoch * u64::from(self.config.planned_epochs());
        let order = self.task.train.order(self.config.seed, epoch)?;
        let mut sum = self.training.loss_sum.shallow_clone();
        self.begin_epoch(epoch, &mut sum)?;
        let trained = TrainedEpoch {
            steps: per_epoch,
            samples: samples.unsigned_abs(),
            multiply_adds: self.progress.position.multiply_adds,
        };
        while self.progress.position.samples < samples {
            let start = self.progress.position.samples;
            if start > 0 {
                self.save_if_due(When::Step, observer);
            }
            self.answer_requests(stop);
            if self.training.model.events().len() != self.shown_events {
                self.show_events(epoch, observer);
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let len = self.task.train.batch_len(start, batch);
            let (x, y) = self.task.train.batch(&order, start, len)?;
            if self.training.model.isolation_check_due() {
                self.with_recovery(|trainer| {
                    trainer.training.model.check_isolation(&x, &mut |logits| Ok(cross_entropy(logits, &y)?))
                })?;
            }
            let rate = learning_rate(&self.config.optimizer, self.training.model.step(), total);
            self.training.optimizer.set_learning_rate(rate)?;
            let mut loss = |logits: &Tensor, labels: &Tensor| {
                let loss = cross_entropy(logits, labels)?;
                let _ = sum.f_add_(&loss.f_detach()?.f_mul_scalar(len)?)?;
                Ok(loss)
            };
            let _ = self.with_recovery(|trainer| {
                let Training { stepper, model, optimizer, .. } = &mut trainer.training;
                stepper.step(model, optimizer, (&x, &y), &mut loss)
            })?;
            self.progress.position.samples = start + len;
        }
        let mean = read_scalar(&sum)? / samples as f64;
        self.tally.add_training(&trained, clock.elapsed());
        Ok(Some(mean))
    }

    /// Begins an epoch, or restores the generators if a resumed run continues in the middle of one.
    fn begin_epoch(&mut self, epoch: u32, sum: &mut Tensor) -> Result<(), TrainError> {
        if let Some(generators) = self.progress.generators.take() {
            generators.restore()?;
            return Ok(());
        }
        // A host with dropout draws from torch's own generators, so these are seeded for each epoch.
        seed_all(derive_seed(self.config.seed, &["host", &epoch.to_string()]))?;
        let _ = sum.f_zero_()?;
        self.progress.position = Position {
            multiply_adds: self.training.model.active_multiply_adds(),
            ..Position::begin_of(epoch)
        };
        Ok(())
    }

    /// Validates the network as it is and without each slot of the plan, with one forward per batch.
    pub(super) fn validate(&mut self, plan: &CounterfactualPlan) -> Result<Validation, TrainError> {
        let (samples, device) = (self.task.validation.len(), self.task.validation.device());
        let batch = (self.task.validation_batch / plan.variants() as i64).max(1);
        let _no_grad = tch::no_grad_guard();
        let mut loss = Tensor::f_zeros([], (Kind::Float, device))?;
        let mut correct = Tensor::f_zeros([plan.variants() as i64], (Kind::Int64, device))?;
        // If any output is NaN or infinite, so is their sum, which costs one operation per variant.
        let mut sums = Tensor::f_zeros([plan.variants() as i64], (Kind::Double, device))?;
        for start in (0..samples).step_by(batch as usize) {
            let len = batch.min(samples - start);
            let (x, y) = self.task.validation.slice(start, len)?;
            let outputs = self.training.model.forward_counterfactual(&x, plan)?;
            if let Some(as_is) = outputs.first() {
                loss = loss.f_add(&cross_entropy(as_is, &y)?.f_mul_scalar(len)?)?;
            }
            let hits = outputs.iter().map(|logits| hits(logits, &y)).collect::<Result<Vec<_>, _>>()?;
            correct = correct.f_add(&Tensor::f_stack(&hits, 0)?)?;
            let all =
                outputs.iter().map(|logits| logits.f_sum(Kind::Double)).collect::<Result<Vec<_>, _>>()?;
            sums = sums.f_add(&Tensor::f_stack(&all, 0)?)?;
        }
        let hits = Vec::<i64>::try_from(correct)?;
        let targets = self.task.validation.targets() as f64;
        let mut accuracies = hits.into_iter().map(|n| 100.0 * n as f64 / targets);
        let accuracy = accuracies.next().unwrap_or(0.0);
        Ok(Validation {
            loss: read_scalar(&loss)? / samples as f64,
            accuracy,
            without: accuracies.collect(),
            unhealthy: unhealthy_slots(&Vec::<bool>::try_from(sums.f_isfinite()?)?),
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
fn read_scalar(scalar: &Tensor) -> Result<f64, tch::TchError> {
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
