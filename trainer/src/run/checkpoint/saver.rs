//! Deciding when a run is saved, and passing its state to the writer.

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

/// Time from a failed save to the next attempt. It doubles with every failure up to `LONGEST_PAUSE`.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A moment at which a run can be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Between two steps of an epoch.
    Step,
    /// At the end of an epoch.
    Epoch(u32),
    /// At the beginning or the end of the run.
    Edge,
}

/// Saves a run into its directory, on another thread. A failure does not end the run.
pub(crate) struct Saver {
    config: CheckpointConfig,
    writer: Writer,
    /// Unused staging buffers.
    free: Vec<HostBuffer>,
    /// Number of checkpoints that the writer has not finished.
    in_flight: usize,
    /// Time and training step of the newest copied state.
    last: (Instant, u64),
    /// Position of the newest copied state, with `written` set to 0.
    taken: Option<About>,
    /// Whether a checkpoint was due while the run could not be saved.
    overdue: bool,
    /// Set while saving fails.
    stopped: Option<Stopped>,
    /// The newest checkpoint on the disk.
    newest: Option<Saved>,
    /// Checkpoints on the disk that the observer was not notified of.
    unreported: Vec<Saved>,
    /// Longest time that a step has waited for a copy.
    longest_stall: Duration,
}

/// Why saving fails at present, and when it is tried again.
#[derive(Debug)]
struct Stopped {
    why: String,
    /// Whether the cause is the disk, so that the same save may succeed later.
    by_disk: bool,
    /// Time of the next attempt.
    again: Instant,
    /// Time from the next attempt to the one after it.
    pause: Duration,
}

impl Saver {
    /// Creates a saver for a run directory, and removes incomplete checkpoints there.
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
            unreported: Vec::new(),
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
            // Each attempt copies the whole state, so it is not made at every step.
            Some(stopped) if when != When::Edge => Instant::now() >= stopped.again,
            _ => self.overdue || by_epoch || by_steps || by_clock(),
        }
    }

    /// Makes a checkpoint due at the next moment, because the run cannot be saved now.
    pub(crate) fn postpone(&mut self) {
        self.overdue = true;
    }

    /// Whether [`save`](Self::save) would wait for a checkpoint that is being written.
    pub(crate) fn is_busy(&mut self) -> bool {
        self.collect_done();
        self.in_flight >= IN_FLIGHT
    }

    /// Copies a state and sends it to the writer. If `IN_FLIGHT` checkpoints are unfinished, waits for one of
    /// them.
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
            // This state is being written, or is on the disk already.
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
            // Allocating page-locked memory is slow, so the second buffer is also allocated before training
            // begins.
            self.free.push(buffer_for(&tensors, device, None)?);
        }
        if device.is_cuda() {
            // Waiting for the queued training work must not count as a stall.
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
            tracing::error!("the thread that writes checkpoints has ended; no more checkpoints are saved");
        }
        Ok(())
    }

    /// Processes the results of the writer.
    pub(crate) fn collect_done(&mut self) {
        while let Some(done) = self.writer.poll() {
            self.note(Some(done));
        }
    }

    /// Waits until all checkpoints in flight are written.
    pub(crate) fn wait_for_writes(&mut self) {
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

    /// Processes a result of the writer; `None` means that its thread has ended.
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
                    tracing::info!("checkpoints are saved again: {}", saved.written.path.display());
                }
                self.newest = Some(saved.clone());
                self.unreported.push(saved);
            }
            Err(error) => self.fail(&error, true),
        }
    }

    /// Records a failed save, which is tried again later, and logs the first of a series. `by_disk` says
    /// whether the cause is the disk.
    pub(crate) fn fail(&mut self, error: &dyn std::fmt::Display, by_disk: bool) {
        let why = error.to_string();
        if self.stopped.is_none() {
            tracing::warn!("no checkpoint can be saved until this is fixed; training continues: {why}");
        }
        let pause = self.stopped.as_ref().map_or(FIRST_PAUSE, |stopped| stopped.pause);
        let again = Instant::now() + pause;
        self.stopped = Some(Stopped { why, by_disk, again, pause: (2 * pause).min(LONGEST_PAUSE) });
    }

    /// Returns why saving fails at present, if the cause is the disk.
    pub(crate) fn stopped_by_disk(&self) -> Option<&str> {
        self.stopped.as_ref().filter(|stopped| stopped.by_disk).map(|stopped| stopped.why.as_str())
    }

    /// Returns why saving fails at present.
    pub(crate) fn stopped(&self) -> Option<&str> {
        self.stopped.as_ref().map(|stopped| stopped.why.as_str())
    }

    /// Returns the newest checkpoint on the disk.
    pub(crate) fn newest(&self) -> Option<&Saved> {
        self.newest.as_ref()
    }

    /// Takes out the checkpoints on the disk that the observer was not notified of.
    pub(crate) fn take_unreported(&mut self) -> Vec<Saved> {
        std::mem::take(&mut self.unreported)
    }

    /// Returns the longest time that a step has waited for a copy.
    pub(crate) fn longest_stall(&self) -> Duration {
        self.longest_stall
    }
}

impl std::fmt::Debug for Saver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Saver").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}
