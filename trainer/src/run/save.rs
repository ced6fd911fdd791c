//! Saving a run between two steps.

use super::checkpoint::When;
use super::last_try::LastTry;
use super::observer::Observer;
use super::trainer::Trainer;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

impl Trainer<'_> {
    /// Saves the run if a checkpoint is due. A failure does not end the run.
    pub(super) fn save_if_due(&mut self, when: When, observer: &mut dyn Observer) {
        let step = self.training.model.step();
        let Some(saver) = &mut self.saver else { return };
        if saver.is_due(when, step) {
            self.save(false);
        }
        self.report_saved(observer);
    }

    /// Saves the present state of the run.
    pub(super) fn save(&mut self, finished: bool) {
        let (Some(saver), Some(dir)) = (&mut self.saver, &mut self.dir) else { return };
        if self.training.model.is_on_trial() {
            // The state to which a trial would roll back is not saved. Resuming from the checkpoint before
            // the swap repeats the swap.
            saver.postpone();
            return;
        }
        let Some((lengths, journals)) = dir.journals() else {
            saver.fail(&"the journals cannot be written", true);
            return;
        };
        let seconds = self.progress.seconds + self.begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
        let collected = self.collect(finished, lengths, seconds);
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
    pub(super) fn save_last(&mut self, finished: bool, stop: &AtomicBool) {
        let last_try = LastTry::begin(stop);
        loop {
            self.save(finished);
            let Some(saver) = &mut self.saver else { return };
            saver.wait_for_writes();
            let Some(why) = saver.stopped_by_disk().map(str::to_owned) else { return };
            if !last_try.wait(&why) {
                return;
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
