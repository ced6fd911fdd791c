//! The two passes of an epoch: the training steps, and the validation with counterfactuals.

use super::checkpoint::{Position, When};
use super::generators::seed_generators;
use super::observer::Observer;
use super::ranks::{Ranks, Shard};
use super::tally::TrainedEpoch;
use super::trainer::Trainer;
use super::training::Training;
use super::validation::{self, Sums, Validation};
use crate::error::TrainError;
use crate::schedule::learning_rate;
use crate::task::cross_entropy;
use kasmina::model::{CounterfactualPlan, ModelError};
use kasmina_ranks::Share;
use std::sync::atomic::AtomicBool;
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
                self.save_if_due(When::Step, observer)?;
            }
            self.answer_requests(stop)?;
            if self.training.model.events().len() != self.shown_events {
                self.show_events(epoch, observer);
            }
            if self.is_stopping(stop) {
                return Ok(None);
            }
            let len = self.task.train.batch_len(start, batch);
            let shard = self.shard(len)?;
            let (x, y) = self.task.train.batch(&order, start + shard.start, shard.samples)?;
            if self.training.model.isolation_check_due() {
                self.with_recovery(|trainer| {
                    trainer.training.model.check_isolation(&x, &mut |logits| Ok(cross_entropy(logits, &y)?))
                })?;
            }
            let rate = learning_rate(&self.config.optimizer, self.training.model.step(), total);
            self.training.optimizer.set_learning_rate(rate)?;
            let share = self.ranks.as_ref().map(|ranks| ranks.share.handle());
            let mut loss = |logits: &Tensor, labels: &Tensor| {
                let loss = cross_entropy(logits, labels)?;
                share_of_loss(loss, labels.size()[0], shard.samples, share.as_ref(), &mut sum)
            };
            let _ = self.with_recovery(|trainer| {
                let Training { stepper, model, optimizer, .. } = &mut trainer.training;
                stepper.step(model, optimizer, (&x, &y), &mut loss)
            })?;
            self.progress.position.samples = start + len;
        }
        let mean = validation::read_scalar(&self.total(&sum)?)? / samples as f64;
        self.tally.add_training(&trained, clock.elapsed());
        Ok(Some(mean))
    }

    /// Begins an epoch, or restores the generators if a resumed run continues in the middle of one.
    fn begin_epoch(&mut self, epoch: u32, sum: &mut Tensor) -> Result<(), TrainError> {
        if let Some(generators) = self.progress.generators.take() {
            generators.restore()?;
            return Ok(());
        }
        let rank = self.ranks.as_ref().map_or(0, Ranks::rank);
        seed_generators(self.config.seed, epoch, rank)?;
        let _ = sum.f_zero_()?;
        self.progress.position = Position {
            multiply_adds: self.training.model.active_multiply_adds(),
            ..Position::begin_of(epoch)
        };
        Ok(())
    }

    /// Returns the part of a batch that this rank computes, and announces its share of the loss to the next
    /// step.
    fn shard(&mut self, samples: i64) -> Result<Shard, TrainError> {
        let Some(ranks) = &mut self.ranks else {
            return Ok(Shard { start: 0, samples, counted: samples });
        };
        let shard = ranks.shard(samples);
        ranks.share.set(shard.counted, samples)?;
        self.training.stepper.set_samples_of_all_ranks(samples);
        Ok(shard)
    }

    /// Returns the sum of a 0-dim tensor over all ranks.
    pub(super) fn total(&self, mine: &Tensor) -> Result<Tensor, TrainError> {
        let Some(ranks) = &self.ranks else { return Ok(mine.shallow_clone()) };
        let total = mine.copy();
        ranks.sum(&total)?;
        Ok(total)
    }

    /// Validates the network as it is and without each slot of the plan, with one forward per batch. Several
    /// ranks share the batches.
    pub(super) fn validate(&mut self, plan: &CounterfactualPlan) -> Result<Validation, TrainError> {
        let turns = self.ranks.as_ref().map_or((0, 1), |ranks| (ranks.rank(), ranks.link.world().size));
        let model = &mut self.training.model;
        let sums =
            Sums::of(&self.task, plan.variants(), turns, &mut |x| Ok(model.forward_counterfactual(x, plan)?));
        // If a build on trial fails on one rank, all ranks roll it back.
        model.agree_that_nothing_failed(sums.as_ref().err().map(ToString::to_string).as_deref())?;
        let sums = sums?;
        if let Some(ranks) = &self.ranks {
            sums.tensors().into_iter().try_for_each(|total| ranks.sum(total))?;
        }
        sums.validation(&self.task)
    }
}

/// Returns what the mean loss of `rows` samples contributes to the loss of the batch, and adds it to the sum
/// of the epoch. `batch` is the number of samples of this rank.
///
/// # Shapes
/// All 0-dimensional.
fn share_of_loss(
    loss: Tensor,
    rows: i64,
    batch: i64,
    share: Option<&Share>,
    sum: &mut Tensor,
) -> Result<Tensor, ModelError> {
    let mut counted = loss.f_detach()?.f_mul_scalar(rows)?;
    let mut loss = if rows == batch { loss } else { loss.f_mul_scalar(rows as f64 / batch as f64)? };
    if let Some(share) = share {
        counted = counted.f_mul(&share.present)?;
        loss = loss.f_mul(&share.weight)?;
    }
    let _ = sum.f_add_(&counted)?;
    Ok(loss)
}
