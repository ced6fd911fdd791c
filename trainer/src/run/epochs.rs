//! The loop over the epochs: train, validate, decide, write down.

use super::checkpoint::{Position, When};
use super::observer::Observer;
use super::report;
use super::trainer::Trainer;
use crate::error::TrainError;
use crate::signals;
use kasmina::model::EpochInputs;
use kasmina_records::{EpochReport, Status};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

impl Trainer<'_> {
    /// Trains all epochs, or until it is asked to stop.
    pub(super) fn epochs(
        &mut self,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Status, TrainError> {
        // For good: on a stream of its own a run waits for no other run of the process.
        let stream = self.training.stepper.stream();
        let _on = stream.as_ref().map(|stream| stream.enter()).transpose()?;
        if self.progress.position == Position::START {
            self.begin()?;
            self.progress.position = Position::begin_of(1);
            self.save_if_due(When::Edge, observer);
        }
        while self.progress.position.epoch <= self.config.epochs {
            let epoch = self.progress.position.epoch;
            if !self.epoch(epoch, observer, stop)? {
                return Ok(Status::Interrupted);
            }
            if stop.load(Ordering::Relaxed) && epoch < self.config.epochs {
                return Ok(Status::Interrupted);
            }
        }
        Ok(Status::Completed)
    }

    /// One epoch with its edge; returns whether it was not interrupted. A host that has become NaN or
    /// infinite may have set the run back to an earlier one.
    fn epoch(
        &mut self,
        epoch: u32,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<bool, TrainError> {
        let clock = Instant::now();
        let Some(train_loss) = self.train_epoch(epoch, observer, stop)? else { return Ok(false) };
        // A seed that fails in it may be gone when it is tried again: the plan belongs to the try.
        let (plan, validation) = self.recovering(|trainer| {
            let plan = trainer.training.model.counterfactual_plan();
            trainer.validate(&plan).map(|validation| (plan, validation))
        })?;
        // Steps whose gradients were not finite are skipped one by one; what the evaluation says decides.
        let finite = validation.loss.is_finite();
        if !finite && !validation.unhealthy.contains(&true) {
            self.go_back(epoch, train_loss)?;
            return Ok(true);
        }
        self.health.broken = !finite;
        self.tally.validated(validation.accuracy);
        let inputs = EpochInputs {
            accuracy: validation.accuracy,
            plan: &plan,
            without: validation.without,
            unhealthy: validation.unhealthy,
        };
        let raw = self.training.model.record_epoch(&inputs, now())?;
        let measured = self.training.model.reports();
        self.tally.measured(&measured);
        self.training.model.step_epoch(&mut self.training.optimizer)?;
        let mut commands = self.land(epoch);
        commands.extend(self.obey(epoch, validation.accuracy));
        commands.extend(self.prune_unhealthy(epoch, &raw));
        commands.extend(self.preinstall(epoch)?);
        self.training.set_seed_rates(&self.config.optimizer)?;

        let events = self.training.model.drain_events();
        let after = self.training.model.reports();
        let host_parameters = self.training.model.host_parameter_count();
        self.tally.count(&events);
        self.tally.living(&self.training.model);
        for event in events.iter().skip(std::mem::take(&mut self.shown)) {
            observer.event(epoch, event);
        }
        let report = EpochReport {
            epoch,
            train_loss,
            val_loss: validation.loss,
            val_accuracy: validation.accuracy,
            seconds: clock.elapsed().as_secs_f64(),
            training_multiply_adds: self.tally.multiply_adds(),
            slots: report::rows(&measured, &after, &raw),
            reward: signals::reward(&events, &after, host_parameters, &self.config.reward),
            plugin_metrics: kasmina_registry::services::take_metrics(),
        };
        if let Some(dir) = &mut self.dir {
            dir.append(&report, &events, &commands);
        }
        observer.epoch(&report, self.config.epochs);
        self.progress.position = Position::begin_of(epoch + 1);
        if epoch < self.config.epochs {
            self.save_if_due(When::Epoch(epoch), observer);
        }
        Ok(true)
    }

    /// Puts in what the configuration wants before the first step.
    fn begin(&mut self) -> Result<(), TrainError> {
        let commands = self.preinstall(0)?;
        if commands.is_empty() {
            return Ok(());
        }
        self.training.set_seed_rates(&self.config.optimizer)?;
        let events = self.training.model.drain_events();
        self.tally.count(&events);
        self.tally.living(&self.training.model);
        if let Some(dir) = &mut self.dir {
            dir.begin(&events, &commands);
        }
        Ok(())
    }

    /// Shows an observer what happened before its epoch is over.
    pub(super) fn show(&mut self, epoch: u32, observer: &mut dyn Observer) {
        for event in self.training.model.events().iter().skip(self.shown) {
            observer.event(epoch, event);
        }
        self.shown = self.training.model.events().len();
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
