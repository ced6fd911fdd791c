//! The loop over the epochs: train, validate, decide, record.

use super::checkpoint::{Position, When};
use super::observer::Observer;
use super::report;
use super::trainer::Trainer;
use crate::error::TrainError;
use crate::signals;
use kasmina::model::EpochInputs;
use kasmina_records::{EpochReport, Status};
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

impl Trainer<'_> {
    /// Trains the remaining epochs, until `stop` is set.
    pub(super) fn epochs(
        &mut self,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Status, TrainError> {
        // On a stream of its own the run does not wait for other runs of the process.
        let stream = self.training.stepper.stream();
        let _on = stream.as_ref().map(|stream| stream.enter()).transpose()?;
        if self.progress.position == Position::START {
            self.begin()?;
            self.progress.position = Position::begin_of(1);
            self.save_if_due(When::Edge, observer)?;
        }
        while self.progress.position.epoch <= self.config.epochs {
            let epoch = self.progress.position.epoch;
            if !self.epoch(epoch, observer, stop)? {
                return Ok(Status::Interrupted);
            }
            if self.is_stopping_after_epoch(stop)? && epoch < self.config.epochs {
                return Ok(Status::Interrupted);
            }
        }
        Ok(Status::Completed)
    }

    /// Trains one epoch, validates, decides and records it. Returns false if it was interrupted. If the
    /// host's outputs are not finite, the run may go back to an earlier epoch instead.
    fn epoch(
        &mut self,
        epoch: u32,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<bool, TrainError> {
        let clock = Instant::now();
        let Some(train_loss) = self.train_epoch(epoch, observer, stop)? else { return Ok(false) };
        self.compare_weights()?;
        // Recovering from a failed seed may remove it, so each try needs a new plan.
        let (plan, validation) = self.with_recovery(|trainer| {
            let plan = trainer.training.model.counterfactual_plan();
            trainer.validate(&plan).map(|validation| (plan, validation))
        })?;
        // The optimizer skips single steps with gradients that are not finite, so only the validation
        // decides.
        let finite = validation.loss.is_finite();
        if !finite && !validation.unhealthy.contains(&true) {
            self.go_back(epoch, train_loss)?;
            return Ok(true);
        }
        self.health.broken = !finite;
        self.tally.add_validation(validation.accuracy);
        let inputs = EpochInputs {
            accuracy: validation.accuracy,
            plan: &plan,
            without: validation.without,
            unhealthy: validation.unhealthy,
        };
        let raw = self.training.model.record_epoch(&inputs, now())?;
        let measured = self.training.model.reports();
        self.tally.update_contributions(&measured);
        self.training.model.step_epoch(&mut self.training.optimizer)?;
        let mut commands = self.land_prefetched(epoch);
        commands.extend(self.execute_commands(epoch, validation.accuracy));
        commands.extend(self.prune_unhealthy(epoch, &raw));
        commands.extend(self.preinstall(epoch)?);
        self.training.set_seed_rates(&self.config.optimizer)?;

        let events = self.training.model.drain_events();
        let after = self.training.model.reports();
        let host_parameters = self.training.model.host_parameter_count();
        self.tally.count_events(&events);
        self.tally.add_plugins(&self.training.model);
        for event in events.iter().skip(std::mem::take(&mut self.shown_events)) {
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
            self.save_if_due(When::Epoch(epoch), observer)?;
        }
        Ok(true)
    }

    /// Germinates the seeds that are preinstalled before the first step.
    fn begin(&mut self) -> Result<(), TrainError> {
        let commands = self.preinstall(0)?;
        if commands.is_empty() {
            return Ok(());
        }
        self.training.set_seed_rates(&self.config.optimizer)?;
        let events = self.training.model.drain_events();
        self.tally.count_events(&events);
        self.tally.add_plugins(&self.training.model);
        if let Some(dir) = &mut self.dir {
            dir.begin(&events, &commands);
        }
        Ok(())
    }

    /// Passes new events to the observer before the epoch ends.
    pub(super) fn show_events(&mut self, epoch: u32, observer: &mut dyn Observer) {
        for event in self.training.model.events().iter().skip(self.shown_events) {
            observer.event(epoch, event);
        }
        self.shown_events = self.training.model.events().len();
    }
}

/// Returns the time in milliseconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
