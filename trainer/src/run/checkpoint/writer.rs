//! The thread that writes checkpoints.

use super::staging::Staged;
use super::state::{PluginRow, RunState};
use kasmina_checkpoint::{About, CheckpointError, Contents, Keep, Written};
use kasmina_registry::{PluginInfo, Policy, RegistryError, stored};
use kasmina_torch_ext::staging::HostBuffer;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Maximum number of unfinished checkpoints.
pub(super) const IN_FLIGHT: usize = 2;

/// A checkpoint that was written.
#[derive(Debug, Clone)]
pub struct Saved {
    /// Folder, position and size of the checkpoint.
    pub written: Written,
    /// Time that writing took on the writer's thread.
    pub took: Duration,
}

/// A checkpoint to write.
pub(super) struct Job {
    pub(super) about: About,
    pub(super) state: RunState,
    pub(super) staged: Staged,
    /// Handles to the journals, whose lengths are in the state.
    pub(super) journals: Vec<File>,
    /// Builds of plugins that a resumed run needs.
    pub(super) builds: Vec<Arc<PluginInfo>>,
}

/// Result of a job, with its buffer for reuse.
pub(super) struct Done {
    pub(super) result: Result<Saved, SaveError>,
    pub(super) buffer: HostBuffer,
}

/// Why a checkpoint was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum SaveError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Plugin(#[from] RegistryError),
    #[error("the journals cannot be synchronised with the disk: {0}")]
    Journal(#[from] std::io::Error),
    #[error("the state cannot be serialised: {0}")]
    State(#[from] serde_json::Error),
}

/// The thread that writes checkpoints, with its queues. Dropping it waits until all jobs are done.
pub(super) struct Writer {
    jobs: Option<SyncSender<Job>>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
}

/// Where checkpoints are written, and which are kept.
pub(super) struct Target {
    /// The run directory.
    pub(super) run: PathBuf,
    pub(super) keep: Keep,
    pub(super) policy: Policy,
}

impl Writer {
    /// Starts the thread that writes checkpoints.
    pub(super) fn start(target: Target) -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel(IN_FLIGHT);
        let (results, done) = channel();
        let work = move || work(&target, &queue, &results);
        let thread = std::thread::Builder::new().name("kasmina-writer".to_owned()).spawn(work)?;
        Ok(Self { jobs: Some(jobs), done, thread: Some(thread) })
    }

    /// Sends a job to the thread. Returns the job as an error if the thread has ended.
    pub(super) fn send(&self, job: Job) -> Result<(), Box<Job>> {
        match &self.jobs {
            Some(jobs) => jobs.send(job).map_err(|error| Box::new(error.0)),
            None => Err(Box::new(job)),
        }
    }

    /// Returns the next result, if there is one.
    pub(super) fn poll(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }

    /// Waits for the next result; `None` if the thread has ended.
    pub(super) fn wait(&self) -> Option<Done> {
        self.done.recv().ok()
    }

    /// Waits until the thread has done all its jobs and has ended.
    pub(super) fn finish(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Writes checkpoints until the queue of jobs is closed.
fn work(target: &Target, jobs: &Receiver<Job>, results: &Sender<Done>) {
    while let Ok(job) = jobs.recv() {
        let result = write(target, &job);
        if results.send(Done { result, buffer: job.staged.into_buffer() }).is_err() {
            return;
        }
    }
}

/// Writes one checkpoint, and removes older ones that are not kept.
fn write(target: &Target, job: &Job) -> Result<Saved, SaveError> {
    let begun = Instant::now();
    // After a power failure the journals must not be shorter than the checkpoint records.
    job.journals.iter().try_for_each(File::sync_data)?;
    for build in &job.builds {
        if job.state.plugins.iter().any(|row| row.used && is_of(row, build)) {
            stored::keep(build, &target.run.join(stored::FOLDER), &target.policy)?;
        }
    }
    let state = serde_json::to_value(&job.state)?;
    let folder = target.run.join(kasmina_checkpoint::FOLDER);
    let contents = Contents {
        about: job.about.clone(),
        state: &state,
        model: job.staged.data(&job.staged.model),
        optimizer: job.staged.data(&job.staged.optimizer),
        training: job.staged.data(&job.staged.training),
    };
    let written = kasmina_checkpoint::write(&folder, &contents)?;
    // Older checkpoints may be removed only now that the new one is complete. A failure to remove one is
    // harmless.
    if let Err(error) = kasmina_checkpoint::prune(&folder, target.keep) {
        tracing::warn!("an old checkpoint cannot be removed: {error}");
    }
    Ok(Saved { written, took: begun.elapsed() })
}

/// Whether a row describes this build.
fn is_of(row: &PluginRow, build: &PluginInfo) -> bool {
    build.sha256.as_ref() == Some(&row.sha256)
}
