//! When a run is saved.

use super::collected::Collected;
use super::staging::{Staged, buffer_for};
use super::writer::{Done, IN_FLIGHT, Job, Saved, Target, Writer};
use crate::config::CheckpointConfig;
use kasmina_checkpoint::About;
use kasmina_plugin_api::PluginError;
use kasmina_registry::Policy;
use kasmina_torch_ext::cuda::synchronize;
use kasmina_torch_ext::staging::HostBuffer;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};
use tch::Device;

/// Time from a save that failed to the next try; it doubles with every failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A moment at which a run could be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Between two steps of an epoch.
    Step,
    /// At the end of an epoch.
    Epoch(u32),
    /// The run begins or ends.
    Edge,
}

/// Saves a run into its directory, on a thread of its own. Nothing that goes wrong here ends the run.
pub(crate) struct Saver {
    config: CheckpointConfig,
    writer: Writer,
    /// Staging buffers that no checkpoint is in.
    free: Vec<HostBuffer>,
    in_flight: usize,
    /// When the newest checkpoint was taken, and at which step.
    last: (Instant, u64),
    /// What the newest checkpoint that was taken is of, its time apart.
    taken: Option<About>,
    /// A checkpoint was due while none could be taken.
    overdue: bool,
    /// Why saving has stopped, and when it is tried again.
    stopped: Option<Stopped>,
    /// The newest checkpoint on the disk.
    newest: Option<Saved>,
    /// Checkpoints on the disk that nobody was told of.
    untold: Vec<Saved>,
    /// The longest that a step has waited for a copy.
    longest_stall: Duration,
}

/// Reason why nothing is saved at present.
#[derive(Debug)]
struct Stopped {
    why: String,
    /// Whether writing to the disk failed, which may pass.
    by_disk: bool,
    again: Instant,
    /// Time to the try after the next one.
    pause: Duration,
}

impl Saver {
    /// Saves into a run directory.
    pub(crate) fn new(
        config: &CheckpointConfig,
        run: &Path,
        policy: &Policy,
        step: u64,
    ) -> std::io::Result<Self> {
        kasmina_checkpoint::clean(&run.join(kasmina_checkpoint::FOLDER));
        let target = Target { run: run.to_owned(), keep: config.keep(), policy: policy.clone() };
        Ok(Self {
            config: config.clone(),
            writer: Writer::start(target)?,
            free: Vec::new(),
            in_flight: 0,
            last: (Instant::now(), step),
            taken: None,
            overdue: false,
            stopped: None,
            newest: None,
            untold: Vec::new(),
            longest_stall: Duration::ZERO,
        })
    }

    /// Whether a checkpoint is due now.
    pub(crate) fn is_due(&self, when: When, step: u64) -> bool {
        let (every_steps, minutes) = (self.config.every_steps, self.config.every_minutes);
        let (taken, at) = self.last;
        let by_clock = || minutes > 0.0 && taken.elapsed().as_secs_f64() >= 60.0 * minutes;
        let by_steps = every_steps > 0 && step != at && step.is_multiple_of(every_steps);
        let by_epoch = match when {
            When::Edge => true,
            When::Step => false,
            When::Epoch(epoch) => {
                self.config.every_epochs > 0 && epoch.is_multiple_of(self.config.every_epochs)
            }
        };
        match &self.stopped {
            // A try costs a copy of everything: not at every step.
            Some(stopped) if when != When::Edge => Instant::now() >= stopped.again,
            _ => self.overdue || by_epoch || by_steps || by_clock(),
        }
    }

    /// A checkpoint is due, and cannot be taken now: it is taken as soon as it can be.
    pub(crate) fn postpone(&mut self) {
        self.overdue = true;
    }

    /// Copies a state, and hands it to the writer. With two on their way it waits for one of them.
    pub(crate) fn save(
        &mut self,
        collected: Collected,
        journals: Vec<File>,
        device: Device,
    ) -> Result<(), PluginError> {
        let Collected { about, state, tensors, builds } = collected;
        self.collect_done();
        let taken = About { written: 0, ..about.clone() };
        if self.taken.as_ref() == Some(&taken) && self.stopped.is_none() {
            // It is on its way, or on the disk.
            return Ok(());
        }
        while self.in_flight >= IN_FLIGHT {
            let done = self.writer.wait();
            self.note(done);
        }
        let step = about.step;
        let earlier = self.free.pop();
        let first = earlier.is_none() && self.in_flight == 0;
        let buffer = buffer_for(&tensors, device, earlier)?;
        if device.is_cuda() && first {
            // Page-locked memory takes a while to make: the second one is made before training begins too.
            self.free.push(buffer_for(&tensors, device, None)?);
        }
        if device.is_cuda() {
            // What was queued before is work and no stall.
            synchronize(device).map_err(|e| PluginError::torch(&e.to_string()))?;
        }
        let begun = Instant::now();
        let staged = match Staged::new(tensors, buffer) {
            Ok(staged) => staged,
            Err((error, buffer)) => {
                self.free.push(buffer);
                return Err(error);
            }
        };
        self.longest_stall = self.longest_stall.max(begun.elapsed());
        tracing::debug!(step, milliseconds = begun.elapsed().as_secs_f64() * 1e3, "copied for a checkpoint");
        self.in_flight += 1;
        self.last = (Instant::now(), step);
        self.overdue = false;
        self.taken = Some(taken);
        if self.writer.send(Job { about, state, staged, journals, builds }).is_err() {
            self.in_flight -= 1;
            tracing::error!("the thread that writes checkpoints is gone; nothing is saved any more");
        }
        Ok(())
    }

    /// Takes note of what the writer has done.
    pub(crate) fn collect_done(&mut self) {
        while let Some(done) = self.writer.poll() {
            self.note(Some(done));
        }
    }

    /// Waits until nothing is on its way.
    pub(crate) fn settle(&mut self) {
        while self.in_flight > 0 {
            let done = self.writer.wait();
            self.note(done);
        }
    }

    /// Waits until everything is written, and ends the writer.
    pub(crate) fn finish(&mut self) {
        self.writer.finish();
        self.collect_done();
    }

    fn note(&mut self, done: Option<Done>) {
        let Some(Done { result, buffer }) = done else {
            self.in_flight = 0;
            return;
        };
        self.in_flight = self.in_flight.saturating_sub(1);
        self.free.push(buffer);
        match result {
            Ok(saved) => {
                if self.stopped.take().is_some() {
                    tracing::info!("saving goes on: {}", saved.written.path.display());
                }
                self.newest = Some(saved.clone());
                self.untold.push(saved);
            }
            Err(error) => self.fail(&error, true),
        }
    }

    /// Says once why nothing is saved; training goes on, and it is tried again after a while.
    /// `by_disk` says that it is the disk, and no plugin or device.
    pub(crate) fn fail(&mut self, error: &dyn std::fmt::Display, by_disk: bool) {
        let why = error.to_string();
        if self.stopped.is_none() {
            tracing::warn!("nothing is saved until this is mended, training goes on: {why}");
        }
        let pause = self.stopped.as_ref().map_or(FIRST_PAUSE, |stopped| stopped.pause);
        let again = Instant::now() + pause;
        self.stopped = Some(Stopped { why, by_disk, again, pause: (2 * pause).min(LONGEST_PAUSE) });
    }

    /// Why the disk does not take anything now.
    pub(crate) fn stopped_by_disk(&self) -> Option<&str> {
        self.stopped.as_ref().filter(|stopped| stopped.by_disk).map(|stopped| stopped.why.as_str())
    }

    /// Why nothing is saved now.
    pub(crate) fn stopped(&self) -> Option<&str> {
        self.stopped.as_ref().map(|stopped| stopped.why.as_str())
    }

    /// The newest checkpoint on the disk.
    pub(crate) fn newest(&self) -> Option<&Saved> {
        self.newest.as_ref()
    }

    /// Checkpoints on the disk that nobody was told of.
    pub(crate) fn take_untold(&mut self) -> Vec<Saved> {
        std::mem::take(&mut self.untold)
    }

    /// The longest that a step has waited for a copy.
    pub(crate) fn longest_stall(&self) -> Duration {
        self.longest_stall
    }
}

impl std::fmt::Debug for Saver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Saver").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}
