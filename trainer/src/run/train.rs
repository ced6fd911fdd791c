//! One run from its directory to its summary.

use super::checkpoint::Saver;
use super::dir::RunDir;
use super::observer::Observer;
use super::report::slot_info;
use super::summary::summary;
use super::trainer::Trainer;
use crate::control::Outside;
use crate::error::TrainError;
use kasmina::{ModelError, MorphogeneticModel};
use kasmina_records::{SlotInfo, Status, Summary};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

impl Trainer<'_> {
    /// Trains. `stop` ends the run before the next step; what was done until then is kept and summed up.
    ///
    /// # Errors
    /// If the run directory cannot be used, or a forward fails; the summary then says so.
    pub fn run(
        self,
        out: Option<&Path>,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Summary, TrainError> {
        self.run_and_keep(out, observer, stop).0
    }

    /// Trains like [`run`](Self::run) and returns the model too, as it was when the run ended, completed or
    /// not.
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
        // What can fail without a directory is opened first, so that a run that cannot begin leaves none
        // behind.
        let watcher = self.watcher()?;
        self.open(out)?;
        let limit = Duration::from_secs_f64(self.config.plugins.call_limit_seconds);
        let run = self.dir.as_ref().map(|dir| dir.path().to_owned());
        let mut outside = Outside::open(run.as_deref(), watcher, limit);
        self.begin_clock();
        let (registry, pulse) = (self.registry, self.training.model.pulse());
        // Everything is written before clients are waited for.
        outside.serve(registry, &pulse, |queue| {
            self.queue.connect(queue);
            let result = self.epochs(observer, stop);
            self.queue.disconnect();
            self.finish(result, observer, stop)
        })
    }

    /// Saves the end of a run, and sums it up.
    fn finish(
        &mut self,
        result: Result<Status, TrainError>,
        observer: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Summary, TrainError> {
        if let Ok(status) = result {
            if status == Status::Completed && self.training.model.is_on_trial() {
                // A build that is still on trial has had its time, and the last state can be saved.
                self.training.model.confirm(&mut self.training.optimizer).map_err(ModelError::from)?;
            }
            self.save_last(status == Status::Completed, stop);
        }
        self.finish_saving(observer);
        let result = result.or_else(|error| {
            // A plugin that looks at `cancelled()` answers a stop with an error: that is what was asked for.
            if stop.load(Ordering::Relaxed) { Ok(Status::Interrupted) } else { Err(error) }
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
        // What went wrong first is what the caller wants to know.
        result.and(written).map(|()| summary)
    }

    /// Opens the run directory, and what saves into it.
    fn open(&mut self, out: Option<&Path>) -> Result<(), TrainError> {
        let slots: Vec<SlotInfo> = self.training.model.slots().iter().map(slot_info).collect();
        let restored = self.progress.restored.take();
        let step = restored.as_ref().map_or(0, |restored| restored.step);
        self.dir = match (restored, out) {
            (Some(restored), _) => Some(restored.reopen(&self.config, &slots)?),
            (None, Some(path)) => Some(RunDir::create(path, &self.config, &slots)?),
            (None, None) => None,
        };
        if let Some(dir) = self.dir.as_ref().filter(|_| self.config.checkpoint.enabled) {
            let saver = Saver::new(&self.config.checkpoint, dir.path(), self.registry.policy(), step);
            self.saver = Some(saver.map_err(|e| TrainError::RunDir {
                path: dir.path().to_owned(),
                reason: format!("no thread for checkpoints: {e}"),
            })?);
        }
        Ok(())
    }
}
