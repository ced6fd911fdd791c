//! The two passes of an epoch: the training steps, and the validation with counterfactuals.

use super::checkpoint::{Position, When};
use super::generators::seed_generators;
use super::observer::Observer;
use super::ranks::{Ranks, Shard, Split};
use super::tally::TrainedEpoch;
use super::trainer::Trainer;
use super::training::Training;
use super::validation::{self, Sums, Validation};
use crate::error::TrainError;
use crate::schedule::learning_rate;
use crate::task::{Order, cross_entropy};
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
            let split = self.split(len)?;
            let (x, y) = self.batch(&order, start, &split)?;
            let own = split.samples();
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
                share_of_loss(loss, labels.size()[0], own, share.as_ref(), &mut sum)
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

    /// Returns the samples of a batch that this rank computes, and announces them to the next step.
    fn split(&mut self, samples: i64) -> Result<Split, TrainError> {
        let split = Split::of(samples, self.config.optimizer.accumulation.into(), self.place());
        self.training.stepper.set_parts(split.sizes());
        if let Some(ranks) = &mut self.ranks {
            ranks.share.set(split.counted(), samples)?;
            self.training.stepper.set_samples_of_all_ranks(samples);
        }
        Ok(split)
    }

    /// Returns inputs and labels of these samples, the parts one after another.
    ///
    /// # Shapes
    /// As the task's batches.
    fn batch(&self, order: &Order, start: i64, split: &Split) -> Result<(Tensor, Tensor), TrainError> {
        let part = |part: &Shard| self.task.train.batch(order, start + part.start, part.samples);
        if let [only] = split.parts.as_slice() {
            return part(only);
        }
        if self.ranks.is_none() {
            // The parts are adjacent.
            return self.task.train.batch(order, start, split.samples());
        }
        let (inputs, labels): (Vec<_>, Vec<_>) =
            split.parts.iter().map(part).collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        Ok((Tensor::f_cat(&inputs, 0)?, Tensor::f_cat(&labels, 0)?))
    }

    /// Returns the sum of a 0-dim tensor over all ranks. Waits for the device.
    pub(super) fn total(&mut self, mine: &Tensor) -> Result<Tensor, TrainError> {
        let Some(ranks) = &mut self.ranks else { return Ok(mine.shallow_clone()) };
        let total = mine.copy();
        ranks.sum(&total)?;
        ranks.wait_for_device()?;
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
        if let Some(ranks) = &mut self.ranks {
            sums.tensors().into_iter().try_for_each(|total| ranks.sum(total))?;
            ranks.wait_for_device()?;
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
