//! Training a prepared run, from opening its directory to its summary.

use super::checkpoint::Saver;
use super::dir::RunDir;
use super::observer::Observer;
use super::report::slot_info;
use super::summary::summary;
use super::trainer::Trainer;
use crate::control::ControlThreads;
use crate::error::TrainError;
use kasmina::{ModelError, MorphogeneticModel};
use kasmina_records::{SlotInfo, Status, Summary};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

impl Trainer<'_> {
    /// Trains the run and returns its summary. Setting `stop` ends it before the next step, with a checkpoint
    /// and a summary. `out` is the directory of a new run; without one nothing is written. A resumed run
    /// ignores it.
    ///
    /// # Errors
    /// If the run directory cannot be used, or a training step fails; `summary.json` then has the status
    /// `failed`.
    pub fn run(
        self,
        out: Option<&Path>,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Summary, TrainError> {
        self.run_and_keep(out, observer, stop).0
    }

    /// As [`run`](Self::run), and returns the model at the end of the run too, even after an error.
    pub fn run_and_keep(
        mut self,
        out: Option<&Path>,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> (Result<Summary, TrainError>, MorphogeneticModel) {
        let summary = self.train(out, observer, stop);
        (summary, self.training.model)
    }

    fn train(
        &mut self,
        out: Option<&Path>,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Summary, TrainError> {
        // The watcher may fail and needs no directory, so it is opened before the directory is created.
        let watcher = if self.is_first_rank() { self.watcher() } else { Ok(None) };
        let watcher = watcher.map_err(|error| self.explained(error))?;
        self.open(out).map_err(|error| self.explained(error))?;
        self.wait_for_ranks()?;
        if let Some(run) = self.ranks.as_ref().and_then(|ranks| ranks.run.as_ref()) {
            observer.opened(run);
        }
        let limit = Duration::from_secs_f64(self.config.plugins.call_limit_seconds);
        let run = self.dir.as_ref().map(|dir| dir.path().to_owned());
        let mut threads = ControlThreads::open(run.as_deref(), watcher, limit);
        self.begin_clock();
        let (registry, pulse) = (self.registry, self.training.model.pulse());
        // `finish` writes everything before the threads that serve clients are joined.
        threads.serve(registry, &pulse, |queue| {
            self.queue.connect(queue);
            let result = self.epochs(observer, stop);
            let result = result.map_err(|error| self.explained(error));
            self.queue.disconnect();
            self.finish(result, observer, stop)
        })
    }

    /// Saves the last checkpoint, and writes and returns the summary.
    fn finish(
        &mut self,
        mut result: Result<Status, TrainError>,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Summary, TrainError> {
        if let Ok(status) = result {
            if status == Status::Completed && self.training.model.is_on_trial() {
                // A run cannot be saved during a trial, and no step follows that could decide it.
                self.training.model.confirm(&mut self.training.optimizer).map_err(ModelError::from)?;
            }
            if let Err(error) = self.save_last(status == Status::Completed, stop) {
                result = Err(self.explained(error));
            }
        }
        self.finish_saving(observer);
        let result = result.or_else(|error| {
            // A plugin that checks `cancelled()` returns an error after a stop, which is not a failure.
            // Plugins of several ranks are not cancelled, because all ranks make the same steps.
            if self.ranks.is_none() && stop.load(Ordering::Relaxed) {
                Ok(Status::Interrupted)
            } else {
                Err(error)
            }
        });
        let (status, error) = match &result {
            Ok(status) => (*status, None),
            Err(error) => (Status::Failed, Some(error.to_string())),
        };
        let seconds = self.progress.seconds + self.begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
        let mut summary =
            summary(&self.config, &self.training.model, &self.training.optimizer, &self.tally, seconds);
        (summary.status, summary.error) = (status, error);
        summary.inputs = self.progress.inputs.clone();
        let events = self.training.model.drain_events();
        let written = self.dir.take().map_or(Ok(()), |mut dir| dir.finish(&events, &summary, stop));
        if let Some(ranks) = self.ranks.as_ref().filter(|_| result.is_ok()) {
            // Captured steps contain operations of the connections, which must outlive them.
            self.training.stepper.forget();
            ranks.leave();
        }
        // The first error is the one that matters to the caller.
        result.and(written).map(|()| summary)
    }

    /// Opens the run directory and the saver of its checkpoints.
    fn open(&mut self, out: Option<&Path>) -> Result<(), TrainError> {
        let slots: Vec<SlotInfo> = self.training.model.slots().iter().map(slot_info).collect();
        let restored = self.progress.restored.take();
        let step = restored.as_ref().map_or(0, |restored| restored.step);
        if !self.is_first_rank() {
            return Ok(());
        }
        self.dir = match (restored, out) {
            (Some(restored), _) => Some(restored.reopen(&self.config, &slots)?),
            (None, Some(path)) => Some(RunDir::create(path, &self.config, &slots)?),
            (None, None) => None,
        };
        if let Some(dir) = self.dir.as_ref().filter(|_| self.config.checkpoint.enabled) {
            let saver = Saver::new(&self.config.checkpoint, dir.path(), self.registry.policy(), step);
            self.saver = Some(saver.map_err(|e| TrainError::RunDir {
                path: dir.path().to_owned(),
                reason: format!("the thread that writes checkpoints cannot be started: {e}"),
            })?);
        }
        Ok(())
    }
}
