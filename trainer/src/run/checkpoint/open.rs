//! Finding the checkpoint that a run goes on from, and judging the settings that it is to go on with.

use super::overrides::{self, Overrides};
use super::state::RunState;
use crate::config::RunConfig;
use crate::error::TrainError;
use crate::run::journals::JournalLengths;
use crate::run::lock::RunLock;
use kasmina_checkpoint::{Checkpoint, CheckpointError};
use kasmina_registry::stored;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What each resume has changed, in a run directory.
pub(super) const RESUMES: &str = "resumes.jsonl";

/// How a run is to go on.
#[derive(Debug, Clone, Default)]
pub struct ResumeOptions {
    /// Directory of the run.
    pub run: PathBuf,
    /// Epochs that the run is to have in the end; as many as it was to have, where nothing is said.
    pub epochs: Option<u32>,
    /// Settings that are others from now on, each as `key=value`.
    pub overrides: Vec<String>,
    /// A branch begins at the end of this epoch; needs `out`.
    pub from: Option<u32>,
    /// The directory of the branch.
    pub out: Option<PathBuf>,
    /// Whether a folder of the run directory may be a symbolic link. Whoever made the directory decides where
    /// a link leads, and a run that goes on removes the checkpoints that are newer than its own.
    pub follow_links: bool,
}

/// Whether there is something to go on with.
#[derive(Debug)]
pub enum Resumption {
    /// The run can go on.
    Ready(Box<Opened>),
    /// All epochs of the run were trained.
    Finished {
        /// Epochs that it has trained.
        epochs: u32,
        /// Folder of the newest checkpoint.
        checkpoint: PathBuf,
    },
}

/// A run that can go on: its checkpoint is read and whole, its settings are judged, and this process owns it.
#[derive(Debug)]
pub struct Opened {
    pub(super) config: RunConfig,
    pub(super) state: RunState,
    pub(super) checkpoint: Checkpoint,
    /// The run directory that the checkpoint is of.
    pub(super) run: PathBuf,
    /// The directory that the run goes on in.
    pub(super) target: PathBuf,
    pub(super) lock: Option<RunLock>,
    pub(super) resume: ResumeRow,
    /// Time at which opening began.
    pub(super) begun: Instant,
}

/// One line of `resumes.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ResumeRow {
    /// Name of the checkpoint that the run went on from.
    pub(super) checkpoint: String,
    /// Steps that were made before.
    pub(super) step: u64,
    /// Epochs that were trained whole before.
    pub(super) epoch: u32,
    /// Epochs that the run is to have.
    pub(super) epochs: u32,
    /// Settings that are others since then.
    #[serde(default)]
    pub(super) overrides: Overrides,
    /// When, in seconds since 1970.
    pub(super) seconds: u64,
}

impl Opened {
    /// Finds the newest whole checkpoint of a run and judges the settings. Changes nothing but the run's
    /// lock.
    ///
    /// # Errors
    /// If there is no whole checkpoint, another process owns the run, or a setting differs that changes what
    /// is computed.
    pub fn open(options: &ResumeOptions) -> Result<Resumption, TrainError> {
        let (run, begun) = (&options.run, Instant::now());
        if !run.is_dir() {
            let reason = "there is no such directory".to_owned();
            return Err(TrainError::NoRun { path: run.clone(), reason });
        }
        let branch = match (options.from, &options.out) {
            (None, None) => None,
            (Some(epoch), Some(out)) => Some((epoch, out)),
            (Some(_), None) => {
                return Err(setting("out", "a branch needs a directory of its own: --out NEW"));
            }
            (None, Some(_)) => {
                return Err(setting(
                    "from",
                    "only a branch goes on in another directory: --from EPOCH --out NEW",
                ));
            }
        };
        if branch.is_none() && !options.follow_links {
            refuse_links(run)?;
        }
        let lock = if branch.is_some() { None } else { Some(RunLock::take(run)?) };
        let (checkpoint, state) = match branch {
            None => newest(run)?,
            Some((epoch, _)) => at_end_of(run, epoch)?,
        };
        let done = state.tally.epochs();
        let asked = overrides::parse(&options.overrides)?;
        let config = settings(run, &state, &asked, options.epochs)?;
        if checkpoint.about.finished && config.epochs <= done && branch.is_none() {
            return Ok(Resumption::Finished { epochs: done, checkpoint: checkpoint.path });
        }
        // In the middle of an epoch that epoch is to be finished first.
        let begun_epochs = done + u32::from(state.position.samples > 0);
        if config.epochs < begun_epochs {
            let reason = format!("the run has begun epoch {begun_epochs} already");
            return Err(TrainError::Setting { field: "epochs".to_owned(), reason });
        }
        let target = branch.map_or(run, |(_, out)| out).clone();
        let resume = ResumeRow {
            checkpoint: name_of(&checkpoint.path),
            step: checkpoint.about.step,
            epoch: done,
            epochs: config.epochs,
            overrides: asked,
            seconds: std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |now| now.as_secs()),
        };
        let run = run.clone();
        Ok(Resumption::Ready(Box::new(Self { config, state, checkpoint, run, target, lock, resume, begun })))
    }

    /// The settings that the run goes on with.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The directory that the run goes on in.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The run directory that it goes on from. The registry's policy must know of it
    /// ([`keeping_copies`](kasmina_registry::Policy::keeping_copies)).
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The folder of the run's own copies of plugins.
    pub(super) fn stored_plugins(&self) -> PathBuf {
        self.run.join(stored::FOLDER)
    }

    /// Epochs that were trained whole, and steps that were made.
    pub fn done(&self) -> (u32, u64) {
        (self.state.tally.epochs(), self.checkpoint.about.step)
    }
}

/// Refuses a run directory in which a folder that is written into is a link to another place.
fn refuse_links(run: &Path) -> Result<(), TrainError> {
    for name in [kasmina_checkpoint::FOLDER, stored::FOLDER] {
        let folder = run.join(name);
        if folder.is_symlink() {
            return Err(TrainError::LinkedFolder { path: folder });
        }
    }
    Ok(())
}

/// The newest checkpoint that is whole. One that is not is told of, and the one before it is tried.
fn newest(run: &Path) -> Result<(Checkpoint, RunState), TrainError> {
    let paths =
        kasmina_checkpoint::newest_first(&run.join(kasmina_checkpoint::FOLDER)).map_err(
            |error| match error {
                CheckpointError::None { .. } => {
                    let reason = "it has no checkpoint".to_owned();
                    TrainError::NoRun { path: run.to_owned(), reason }
                }
                other => other.into(),
            },
        )?;
    let mut broken = Vec::new();
    for path in &paths {
        match read(run, path) {
            Ok(found) => {
                for error in &broken {
                    tracing::warn!("a checkpoint is not whole, the one before it is used: {error}");
                }
                return Ok(found);
            }
            // A later version will not read better further back.
            Err(error @ TrainError::Checkpoint(CheckpointError::Newer { .. })) => return Err(error),
            Err(error) => broken.push(error),
        }
    }
    let first = broken.into_iter().next().map_or_else(String::new, |error| error.to_string());
    Err(TrainError::NoWholeCheckpoint { path: run.to_owned(), tried: paths.len(), first })
}

/// The newest whole checkpoint of an epoch's end before an epoch, whose losses were finite.
pub(super) fn sound_before(run: &Path, epoch: u32) -> Result<Option<(Checkpoint, RunState)>, TrainError> {
    let all = kasmina_checkpoint::list(&run.join(kasmina_checkpoint::FOLDER))?;
    let sound = all.iter().rev().filter(|listed| {
        let about = listed.manifest.as_ref().ok().map(|manifest| &manifest.about);
        about.is_some_and(|about| about.epoch_is_whole && about.finite && about.epoch < epoch)
    });
    Ok(sound.map(|listed| read(run, &listed.path)).find_map(Result::ok))
}

/// The checkpoint at the end of an epoch.
fn at_end_of(run: &Path, epoch: u32) -> Result<(Checkpoint, RunState), TrainError> {
    let all = kasmina_checkpoint::list(&run.join(kasmina_checkpoint::FOLDER))?;
    let whole = all.iter().filter_map(|listed| Some((listed, listed.manifest.as_ref().ok()?)));
    let ends: Vec<_> = whole.filter(|(_, manifest)| manifest.about.epoch_is_whole).collect();
    if let Some((listed, _)) = ends.iter().find(|(_, manifest)| manifest.about.epoch == epoch) {
        return read(run, &listed.path);
    }
    let known: Vec<String> = ends.iter().map(|(_, manifest)| manifest.about.epoch.to_string()).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Err(setting("from", &format!("no checkpoint is left of the end of epoch {epoch}; there is {known}")))
}

fn read(run: &Path, path: &Path) -> Result<(Checkpoint, RunState), TrainError> {
    let checkpoint = Checkpoint::read(path)?;
    let damaged = |reason: String| CheckpointError::Damaged { path: path.join("state.json"), reason };
    let state = RunState::deserialize(&checkpoint.state).map_err(|e| damaged(e.to_string()))?;
    journals_reach(run, state.journals)?;
    Ok((checkpoint, state))
}

/// Refuses a checkpoint whose journals are shorter than they were.
fn journals_reach(run: &Path, lengths: JournalLengths) -> Result<(), TrainError> {
    for (name, length) in lengths.named() {
        let path = run.join(name);
        let found = std::fs::metadata(&path).map_or(0, |found| found.len());
        if found < length {
            let reason = format!("it has {found} bytes, the checkpoint was written when it had {length}");
            return Err(TrainError::Journal { path, reason });
        }
    }
    Ok(())
}

/// The settings that a run goes on with: its own, harmless changes in its `config.toml`, and what is asked
/// for.
fn settings(
    run: &Path,
    state: &RunState,
    asked: &Overrides,
    epochs: Option<u32>,
) -> Result<RunConfig, TrainError> {
    let path = run.join("config.toml");
    let mut config = state.config.clone();
    if path.exists() {
        let now = RunConfig::from_file(&path)?;
        let accepted = accepted(run, asked);
        let (mut taken, mut refused) = (Overrides::new(), Vec::new());
        for (key, pair) in overrides::differences(&state.config, &now)? {
            // A run that was extended keeps what it was planned with.
            let planned =
                key == "schedule_epochs" && pair.1 == Some(i64::from(state.config.planned_epochs()).into());
            if !planned && !overrides::is_harmless(&key) && !accepted.contains(&key) {
                refused.push(overrides::told(&key, &pair));
            } else if let Some(value) = pair.1 {
                taken.insert(key, value);
            }
        }
        if !refused.is_empty() {
            return Err(TrainError::SettingsDiffer { path, differences: refused });
        }
        config = overrides::apply(&config, &taken)?;
    }
    config = overrides::apply(&config, asked)?;
    config.epochs = epochs.unwrap_or(config.epochs);
    if config.epochs != state.config.epochs && !asked.contains_key("schedule_epochs") {
        // What was derived from the run's length stays as it was planned.
        config.schedule_epochs = Some(state.config.planned_epochs());
    }
    config.validate()?;
    Ok(config)
}

/// Settings whose changes were asked for, now or when the run went on before.
fn accepted(run: &Path, asked: &Overrides) -> BTreeSet<String> {
    let rows = kasmina_records::lines::<ResumeRow>(&run.join(RESUMES)).unwrap_or_default();
    let earlier = rows.into_iter().flat_map(|row| row.overrides.into_keys());
    earlier.chain(asked.keys().cloned()).collect()
}

fn setting(field: &str, reason: &str) -> TrainError {
    TrainError::Setting { field: field.to_owned(), reason: reason.to_owned() }
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
