//! The two passes of an epoch: over the training data with steps, over the validation data with
//! counterfactuals.

use super::checkpoint::{Position, When};
use super::observer::Observer;
use super::tally::Trained;
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

/// What a validation pass measured.
#[derive(Debug)]
pub(super) struct Validation {
    pub(super) loss: f64,
    pub(super) accuracy: f64,
    /// Accuracy without each measured slot.
    pub(super) without: Vec<f64>,
    /// Whether each measured slot has made the outputs NaN or infinite.
    pub(super) unhealthy: Vec<bool>,
}

impl Trainer<'_> {
    /// Trains one epoch and answers with its mean loss, or with nothing if it was stopped. No step waits for
    /// the device: the loss is summed there and read once.
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
        let trained = Trained {
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
            if self.training.model.events().len() != self.shown {
                self.show(epoch, observer);
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let len = self.task.train.batch_len(start, batch);
            let (x, y) = self.task.train.batch(&order, start, len)?;
            if self.training.model.isolation_check_due() {
                self.recovering(|trainer| {
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
            let _ = self.recovering(|trainer| {
                let Training { stepper, model, optimizer, .. } = &mut trainer.training;
                stepper.step(model, optimizer, (&x, &y), &mut loss)
            })?;
            self.progress.position.samples = start + len;
        }
        let mean = read(&sum)? / samples as f64;
        self.tally.trained(&trained, clock.elapsed());
        Ok(Some(mean))
    }

    /// Begins an epoch, or goes on in the middle of one.
    fn begin_epoch(&mut self, epoch: u32, sum: &mut Tensor) -> Result<(), TrainError> {
        if let Some(generators) = self.progress.generators.take() {
            generators.restore()?;
            return Ok(());
        }
        // A host with dropout draws from torch's own generators: they follow the run's seed, epoch by epoch.
        seed_all(derive_seed(self.config.seed, &["host", &epoch.to_string()]))?;
        let _ = sum.f_zero_()?;
        self.progress.position = Position {
            multiply_adds: self.training.model.active_multiply_adds(),
            ..Position::begin_of(epoch)
        };
        Ok(())
    }

    /// Measures the network as it is and without each slot of the plan, in one forward a batch.
    pub(super) fn validate(&mut self, plan: &CounterfactualPlan) -> Result<Validation, TrainError> {
        let (samples, device) = (self.task.validation.len(), self.task.validation.device());
        let batch = (self.task.validation_batch / plan.variants() as i64).max(1);
        let _no_grad = tch::no_grad_guard();
        let mut loss = Tensor::f_zeros([], (Kind::Float, device))?;
        let mut correct = Tensor::f_zeros([plan.variants() as i64], (Kind::Int64, device))?;
        // A sum is NaN or infinite where any of the outputs is: one operation per output.
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
            loss: read(&loss)? / samples as f64,
            accuracy,
            without: accuracies.collect(),
            unhealthy: culprits(&Vec::<bool>::try_from(sums.f_isfinite()?)?),
        })
    }
}

/// Which of the measured seeds have made the outputs NaN or infinite: `finite` tells it of the network as it
/// is, then without each of them. Where the outputs stay so without any one of them, it is the host.
fn culprits(finite: &[bool]) -> Vec<bool> {
    let Some((as_is, without)) = finite.split_first() else { return Vec::new() };
    without.iter().map(|finite| !as_is && *finite).collect()
}

/// Reads one number: the edge of an epoch is where a run waits for the device.
fn read(scalar: &Tensor) -> Result<f64, tch::TchError> {
    scalar.f_double_value(&[])
}

#[cfg(test)]
mod tests {
    use super::culprits;

    #[test]
    fn the_seed_without_which_outputs_are_finite_is_to_blame() {
        assert_eq!(culprits(&[true, true, true]), [false, false]);
        assert_eq!(culprits(&[false, true, false]), [true, false]);
        assert_eq!(culprits(&[false, false, false]), [false, false], "it is the host");
        assert!(culprits(&[false]).is_empty());
    }
}
