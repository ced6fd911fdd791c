//! The two passes of an epoch: the training steps, and the validation with counterfactuals.

use super::checkpoint::{Position, When};
use super::observer::Observer;
use super::tally::TrainedEpoch;
use super::trainer::Trainer;
use super::training::Training;
use super::validation::{self, Validation};
use crate::error::TrainError;
use crate::schedule::learning_rate;
use crate::task::cross_entropy;
use kasmina::model::CounterfactualPlan;
use kasmina_torch_ext::rng::{derive_seed, seed_all};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tch::Tensor;

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
        let mean = validation::read_scalar(&sum)? / samples as f64;
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
        let model = &mut self.training.model;
        validation::validate(&self.task, plan.variants(), &mut |x| Ok(model.forward_counterfactual(x, plan)?))
    }
}
