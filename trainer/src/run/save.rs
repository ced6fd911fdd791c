//! Saving a run between two steps. Of several ranks, the first writes, and all take part at the same step.

use super::checkpoint::{OfAllRanks, When, of_others};
use super::last_try::LastTry;
use super::observer::Observer;
use super::trainer::Trainer;
use crate::error::TrainError;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

impl Trainer<'_> {
    /// Saves the run if a checkpoint is due. A disk that fails does not end the run.
    ///
    /// # Errors
    /// If a rank is lost.
    pub(super) fn save_if_due(&mut self, when: When, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let step = self.training.model.step();
        let due = self.saver.as_ref().is_some_and(|saver| saver.is_due(when, step));
        if self.all_ranks_save(when, due)? {
            self.save(false)?;
        }
        self.report_saved(observer);
        Ok(())
    }

    /// Whether all ranks save now. `due` is what the clock and the settings say on this rank.
    fn all_ranks_save(&mut self, when: When, due: bool) -> Result<bool, TrainError> {
        let Some(ranks) = &mut self.ranks else { return Ok(due) };
        if !self.config.checkpoint.enabled {
            return Ok(false);
        }
        let every = self.config.checkpoint.every_steps;
        let by_steps = every > 0 && self.training.model.step().is_multiple_of(every);
        if when == When::Step && !by_steps {
            // The clock of one rank: all learn of it before a later step.
            if due {
                ranks.attention.request();
            }
            return Ok(false);
        }
        ranks.of_first(due)
    }

    /// Saves the present state of the run. Called on all ranks together.
    ///
    /// # Errors
    /// If a rank is lost.
    pub(super) fn save(&mut self, finished: bool) -> Result<(), TrainError> {
        let of_all_ranks = self.of_all_ranks()?;
        self.write(finished, of_all_ranks);
        Ok(())
    }

    /// Returns what a checkpoint has of all ranks, on rank 0.
    fn of_all_ranks(&mut self) -> Result<OfAllRanks, TrainError> {
        let own = self.training.loss_sum.shallow_clone();
        let loss_sum = self.total(&own)?;
        // During a trial nothing is saved.
        if self.ranks.is_none() || self.training.model.is_on_trial() {
            return Ok(OfAllRanks { loss_sum, others: Vec::new() });
        }
        let own = if self.is_first_rank() { Vec::new() } else { self.own_state() };
        let Some(ranks) = &mut self.ranks else { return Ok(OfAllRanks { loss_sum, others: Vec::new() }) };
        Ok(OfAllRanks { loss_sum, others: of_others(&ranks.gather(&own)?) })
    }

    /// Writes the present state of the run.
    fn write(&mut self, finished: bool, of_all_ranks: OfAllRanks) {
        let (Some(saver), Some(dir)) = (&mut self.saver, &mut self.dir) else { return };
        if self.training.model.is_on_trial() {
            // The state to which a trial would roll back is not saved. Resuming from the checkpoint before
            // the swap repeats the swap.
            saver.postpone();
            return;
        }
        if self.ranks.is_some() && !finished && saver.is_busy() {
            // The other ranks would wait for a slow disk.
            saver.postpone();
            return;
        }
        let Some((lengths, journals)) = dir.journals() else {
            saver.fail(&"the journals cannot be written", true);
            return;
        };
        let seconds = self.progress.seconds + self.begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
        let collected = self.collect(finished, lengths, seconds, of_all_ranks);
        let device = self.training.model.device();
        let Some(saver) = &mut self.saver else { return };
        match collected {
            Ok(collected) => {
                if let Err(error) = saver.save(collected, journals, device) {
                    saver.fail(&error, false);
                }
            }
            Err(error) => saver.fail(&error, false),
        }
    }

    /// Saves the run for the last time. After a disk error it tries again for a while, because the training
    /// since the last checkpoint would be lost.
    ///
    /// # Errors
    /// If a rank is lost.
    pub(super) fn save_last(&mut self, finished: bool, stop: &AtomicBool) -> Result<(), TrainError> {
        let last_try = LastTry::begin(stop);
        let of_all_ranks = self.of_all_ranks()?;
        loop {
            self.write(finished, of_all_ranks.share());
            let Some(saver) = &mut self.saver else { return Ok(()) };
            saver.wait_for_writes();
            let Some(why) = saver.stopped_by_disk().map(str::to_owned) else { return Ok(()) };
            if !last_try.wait(&why) {
                return Ok(());
            }
        }
    }

    /// Notifies the observer of the checkpoints that have reached the disk.
    pub(super) fn report_saved(&mut self, observer: &mut dyn Observer) {
        let Some(saver) = &mut self.saver else { return };
        saver.collect_done();
        for saved in saver.take_unreported() {
            observer.saved(&saved);
        }
    }

    /// Waits until every checkpoint is on the disk.
    pub(super) fn finish_saving(&mut self, observer: &mut dyn Observer) {
        if let Some(saver) = &mut self.saver {
            saver.finish();
        }
        self.report_saved(observer);
    }

    /// Starts the clock of the run's wall-clock time.
    pub(super) fn begin_clock(&mut self) {
        self.begun = Some(Instant::now());
    }
}
