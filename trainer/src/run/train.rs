//! One run from its directory to its summary.

use super::dir::RunDir;
use super::observer::Observer;
use super::report::SlotInfo;
use super::summary::{Status, Summary};
use super::trainer::Trainer;
use crate::control::{ControlQueue, Outside};
use crate::error::TrainError;
use kasmina::MorphogeneticModel;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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

    /// Trains like [`run`](Self::run) and returns the model too, as it was when the run ended, completed or not.
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
        let slots: Vec<SlotInfo> = self.training.model.slots().iter().map(SlotInfo::of).collect();
        let mut dir = out.map(|path| RunDir::create(path, &self.config, &slots)).transpose()?;
        let limit = Duration::from_secs_f64(self.config.plugins.call_limit_seconds);
        let mut outside = Outside::open(out, self.watcher()?, limit)?;
        let started = Instant::now();
        let (registry, pulse) = (self.registry, self.training.model.pulse());
        let result = outside.serve(registry, &pulse, |queue| {
            self.queue = queue;
            let result = self.epochs(dir.as_mut(), observer, stop);
            // Whoever still waits for an answer is told that there is none.
            self.queue = ControlQueue::default();
            result
        });
        let result = result.or_else(|error| {
            // A plugin that looks at `cancelled()` answers a stop with an error: that is what was asked for.
            if stop.load(Ordering::Relaxed) { Ok(Status::Interrupted) } else { Err(error) }
        });
        let (status, error) = match &result {
            Ok(status) => (*status, None),
            Err(error) => (Status::Failed, Some(error.to_string())),
        };
        let summary = Summary::of(
            &self.config,
            &self.training.model,
            &self.training.optimizer,
            &self.tally,
            started.elapsed(),
        )
        .ended(status, error);
        let written =
            dir.as_mut().map_or(Ok(()), |dir| dir.finish(&self.training.model.drain_events(), &summary));
        // What went wrong first is what the caller wants to know.
        result.and(written).map(|()| summary)
    }
}
