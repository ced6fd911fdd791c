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

/// Checkpoints that are on their way at most.
pub(super) const IN_FLIGHT: usize = 2;

/// A checkpoint that was written.
#[derive(Debug, Clone)]
pub struct Saved {
    /// Its folder, and what it is of.
    pub written: Written,
    /// How long writing took, on the writer's own thread.
    pub took: Duration,
}

/// A checkpoint that is to be written.
pub(super) struct Job {
    pub(super) about: About,
    pub(super) state: RunState,
    pub(super) staged: Staged,
    /// The journals whose lengths the state tells.
    pub(super) journals: Vec<File>,
    /// The builds that the run goes on with.
    pub(super) builds: Vec<Arc<PluginInfo>>,
}

/// What became of a job, with the memory that it has given back.
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
    #[error("the journals cannot be synchronised: {0}")]
    Journal(#[from] std::io::Error),
    #[error("the state cannot be written: {0}")]
    State(#[from] serde_json::Error),
}

/// The thread, and the way to it. Dropping it waits until everything is written.
pub(super) struct Writer {
    jobs: Option<SyncSender<Job>>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
}

/// Where checkpoints go, and what stays of them.
pub(super) struct Target {
    /// Directory of the run.
    pub(super) run: PathBuf,
    pub(super) keep: Keep,
    pub(super) policy: Policy,
}

impl Writer {
    /// Starts the thread that writes checkpoints.
    pub(super) fn start(target: Target) -> std::io::Result<Self> {
        let (jobs, to_do) = sync_channel(IN_FLIGHT);
        let (tell, done) = channel();
        let work = move || work(&target, &to_do, &tell);
        let thread = std::thread::Builder::new().name("kasmina-writer".to_owned()).spawn(work)?;
        Ok(Self { jobs: Some(jobs), done, thread: Some(thread) })
    }

    /// Hands a job over; gives it back if the thread is gone.
    pub(super) fn send(&self, job: Job) -> Result<(), Box<Job>> {
        match &self.jobs {
            Some(jobs) => jobs.send(job).map_err(|error| Box::new(error.0)),
            None => Err(Box::new(job)),
        }
    }

    /// The next result, if there is one.
    pub(super) fn poll(&self) -> Option<Done> {
        self.done.try_recv().ok()
    }

    /// Waits for the next result; none if nothing is on its way.
    pub(super) fn wait(&self) -> Option<Done> {
        self.done.recv().ok()
    }

    /// Lets the thread finish what it has, and end.
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

fn work(target: &Target, jobs: &Receiver<Job>, tell: &Sender<Done>) {
    while let Ok(job) = jobs.recv() {
        let result = write(target, &job);
        if tell.send(Done { result, buffer: job.staged.into_buffer() }).is_err() {
            return;
        }
    }
}

fn write(target: &Target, job: &Job) -> Result<Saved, SaveError> {
    let begun = Instant::now();
    // A checkpoint tells how long the journals are: they must not be shorter after a power failure.
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
    // The new one is whole: older ones may go. One that does not go is no reason to stop.
    if let Err(error) = kasmina_checkpoint::prune(&folder, target.keep) {
        tracing::warn!("an old checkpoint is still there: {error}");
    }
    Ok(Saved { written, took: begun.elapsed() })
}

fn is_of(row: &PluginRow, build: &PluginInfo) -> bool {
    build.sha256.as_ref() == Some(&row.sha256)
}
