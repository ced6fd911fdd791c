//! Finding the checkpoint that a run is resumed from, and checking the settings that it is resumed with.

use super::overrides::{self, Overrides};
use super::place::Place;
use super::state::RunState;
use crate::config::RunConfig;
use crate::device;
use crate::error::TrainError;
use crate::run::journals::JournalLengths;
use crate::run::lock::RunLock;
use kasmina_checkpoint::{Checkpoint, CheckpointError};
use kasmina_registry::stored;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Name of the journal of resumes in a run directory.
pub(super) const RESUMES: &str = "resumes.jsonl";

/// How a run is resumed.
#[derive(Debug, Clone, Default)]
pub struct ResumeOptions {
    /// Directory of the run.
    pub run: PathBuf,
    /// New number of epochs of the whole run. Default: as configured.
    pub epochs: Option<u32>,
    /// Settings to change, each as `key=value`.
    pub overrides: Vec<String>,
    /// Epoch at whose end a branch of the run begins; needs `out`. `None` resumes the run itself.
    pub from: Option<u32>,
    /// Directory of the branch.
    pub out: Option<PathBuf>,
    /// Whether a folder of the run directory may be a symbolic link. The author of the directory decides
    /// where a link leads, and resuming removes newer checkpoints there.
    pub follow_links: bool,
    /// Which of the ranks of the run this process is. Rank 0 owns the run directory and writes it; the others
    /// change nothing there.
    pub place: Place,
}

/// Result of opening a run to resume it.
#[derive(Debug)]
pub enum Resumption {
    /// The run can be resumed.
    Ready(Box<Opened>),
    /// All epochs of the run were trained.
    Finished {
        /// Number of trained epochs.
        epochs: u32,
        /// Folder of the newest checkpoint.
        checkpoint: PathBuf,
    },
}

/// A run that can be resumed: its checkpoint is read and intact, its settings are checked, and this process
/// owns its directory.
#[derive(Debug)]
pub struct Opened {
    pub(super) config: RunConfig,
    pub(super) state: RunState,
    pub(super) checkpoint: Checkpoint,
    pub(super) place: Place,
    /// The run directory that the checkpoint is of.
    pub(super) run: PathBuf,
    /// Directory that the resumed run writes to: `run`, or that of a branch.
    pub(super) target: PathBuf,
    /// Whether `target` is another directory than `run`.
    pub(super) is_branch: bool,
    /// Lock of `run`; `None` for a branch, and on ranks that do not write.
    pub(super) lock: Option<RunLock>,
    pub(super) resume: ResumeRow,
    /// Time at which opening began.
    pub(super) begun: Instant,
}

/// A row of `resumes.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ResumeRow {
    /// Name of the checkpoint that the run was resumed from.
    pub(super) checkpoint: String,
    /// Number of training steps before the checkpoint.
    pub(super) step: u64,
    /// Number of complete epochs before the checkpoint.
    pub(super) epoch: u32,
    /// Number of epochs of the whole run.
    pub(super) epochs: u32,
    /// Settings that were changed with `--override`.
    #[serde(default)]
    pub(super) overrides: Overrides,
    /// Time of the resume, in seconds since 1970.
    pub(super) seconds: u64,
}

impl Opened {
    /// Finds the newest usable checkpoint of a run (or the one of a branch), and checks the settings. Writes
    /// nothing except the lock of the run directory.
    ///
    /// # Errors
    /// If there is no usable checkpoint, another process owns the run, or a setting was changed that affects
    /// the results.
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
                return Err(setting("from", "only a branch has another directory: --from EPOCH --out NEW"));
            }
        };
        if branch.is_none() && !options.follow_links {
            refuse_links(run)?;
        }
        let alone = branch.is_none() && options.place.rank == 0;
        let lock = if alone { Some(RunLock::take(run)?) } else { None };
        let (checkpoint, state) = match branch {
            None => newest(run)?,
            Some((epoch, _)) => at_end_of(run, epoch)?,
        };
        let done = state.tally.epochs();
        let overrides = overrides::parse(&options.overrides)?;
        let config = settings(run, &state, &overrides, options.epochs)?;
        if checkpoint.about.finished && config.epochs <= done && branch.is_none() {
            return Ok(Resumption::Finished { epochs: done, checkpoint: checkpoint.path });
        }
        // A checkpoint in the middle of an epoch needs that epoch to be completed.
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
            overrides,
            seconds: std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |now| now.as_secs()),
        };
        let (run, is_branch) = (run.clone(), branch.is_some());
        Ok(Resumption::Ready(Box::new(Self {
            config,
            place: options.place,
            state,
            checkpoint,
            run,
            target,
            is_branch,
            lock,
            resume,
            begun,
        })))
    }

    /// Returns the configuration of the resumed run.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// Returns the name of the device from which each of several ranks gets its own. A run records the GPU of
    /// its rank 0, so the number of a recorded GPU is left out, but not that of an override.
    pub fn device_of_ranks(&self) -> &str {
        let name = &self.config.device;
        if self.resume.overrides.contains_key("device") { name } else { device::kind(name) }
    }

    /// Sets the device of this rank.
    pub fn set_device(&mut self, device: String) {
        self.config.device = device;
    }

    /// Returns the directory that the resumed run writes to.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Returns the run directory that contains the checkpoint. The registry's policy must accept its copies
    /// of plugins ([`keeping_copies`](kasmina_registry::Policy::keeping_copies)).
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// Returns the folder of the run's copies of plugins.
    pub(super) fn stored_plugins(&self) -> PathBuf {
        self.run.join(stored::FOLDER)
    }

    /// Returns the number of complete epochs and of training steps.
    pub fn done(&self) -> (u32, u64) {
        (self.state.tally.epochs(), self.checkpoint.about.step)
    }
}

/// Whether a directory is of a run that has a checkpoint.
pub fn has_checkpoints(run: &Path) -> bool {
    kasmina_checkpoint::newest_first(&run.join(kasmina_checkpoint::FOLDER))
        .is_ok_and(|found| !found.is_empty())
}

/// Refuses a run directory in which a folder that the run writes to is a symbolic link.
fn refuse_links(run: &Path) -> Result<(), TrainError> {
    for name in [kasmina_checkpoint::FOLDER, stored::FOLDER] {
        let folder = run.join(name);
        if folder.is_symlink() {
            return Err(TrainError::LinkedFolder { path: folder });
        }
    }
    Ok(())
}

/// Reads the newest usable checkpoint. Unusable ones are skipped with a warning.
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
                    tracing::warn!("a checkpoint is not usable; the one before it is used: {error}");
                }
                return Ok(found);
            }
            // A later version of Kasmina wrote the checkpoint, and so the earlier ones too.
            Err(error @ TrainError::Checkpoint(CheckpointError::Newer { .. })) => return Err(error),
            Err(error) => broken.push(error),
        }
    }
    let first = broken.into_iter().next().map_or_else(String::new, |error| error.to_string());
    Err(TrainError::NoWholeCheckpoint { path: run.to_owned(), tried: paths.len(), first })
}

/// Reads the newest usable checkpoint at the end of an epoch before `epoch` whose validation loss was finite.
pub(super) fn newest_finite_before(
    run: &Path,
    epoch: u32,
) -> Result<Option<(Checkpoint, RunState)>, TrainError> {
    let all = kasmina_checkpoint::list(&run.join(kasmina_checkpoint::FOLDER))?;
    let finite = all.iter().rev().filter(|listed| {
        let about = listed.manifest.as_ref().ok().map(|manifest| &manifest.about);
        about.is_some_and(|about| about.epoch_is_whole && about.finite && about.epoch < epoch)
    });
    Ok(finite.map(|listed| read(run, &listed.path)).find_map(Result::ok))
}

/// Reads the checkpoint at the end of an epoch.
fn at_end_of(run: &Path, epoch: u32) -> Result<(Checkpoint, RunState), TrainError> {
    let all = kasmina_checkpoint::list(&run.join(kasmina_checkpoint::FOLDER))?;
    let whole = all.iter().filter_map(|listed| Some((listed, listed.manifest.as_ref().ok()?)));
    let ends: Vec<_> = whole.filter(|(_, manifest)| manifest.about.epoch_is_whole).collect();
    if let Some((listed, _)) = ends.iter().find(|(_, manifest)| manifest.about.epoch == epoch) {
        return read(run, &listed.path);
    }
    let known: Vec<String> = ends.iter().map(|(_, manifest)| manifest.about.epoch.to_string()).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Err(setting(
        "from",
        &format!("there is no checkpoint at the end of epoch {epoch}; there are those of {known}"),
    ))
}

/// Reads a checkpoint and its state, and checks the lengths of the journals.
fn read(run: &Path, path: &Path) -> Result<(Checkpoint, RunState), TrainError> {
    let checkpoint = Checkpoint::read(path)?;
    let damaged = |reason: String| CheckpointError::Damaged { path: path.join("state.json"), reason };
    let state = RunState::deserialize(&checkpoint.state).map_err(|e| damaged(e.to_string()))?;
    check_journals(run, state.journals)?;
    Ok((checkpoint, state))
}

/// Refuses journals that are shorter than they were when the checkpoint was written.
fn check_journals(run: &Path, lengths: JournalLengths) -> Result<(), TrainError> {
    for (name, length) in lengths.named() {
        let path = run.join(name);
        let found = std::fs::metadata(&path).map_or(0, |found| found.len());
        if found < length {
            let reason = format!("it has {found} bytes, but had {length} when the checkpoint was written");
            return Err(TrainError::Journal { path, reason });
        }
    }
    Ok(())
}

/// Returns the configuration of a resumed run: the checkpoint's, with the changes in `config.toml` that do
/// not affect the results, the overrides, and the new number of epochs.
fn settings(
    run: &Path,
    state: &RunState,
    overrides: &Overrides,
    epochs: Option<u32>,
) -> Result<RunConfig, TrainError> {
    let path = run.join("config.toml");
    let mut config = state.config.clone();
    if path.exists() {
        let now = RunConfig::from_file(&path)?;
        let accepted = accepted(run, overrides);
        let (mut taken, mut refused) = (Overrides::new(), Vec::new());
        for (key, pair) in overrides::differences(&state.config, &now)? {
            // An extended run has its planned epochs in `config.toml`.
            let planned =
                key == "schedule_epochs" && pair.1 == Some(i64::from(state.config.planned_epochs()).into());
            if !planned && !overrides::is_harmless(&key) && !accepted.contains(&key) {
                refused.push(overrides::describe(&key, &pair));
            } else if let Some(value) = pair.1 {
                taken.insert(key, value);
            }
        }
        if !refused.is_empty() {
            return Err(TrainError::SettingsDiffer { path, differences: refused });
        }
        config = overrides::apply(&config, &taken)?;
    }
    config = overrides::apply(&config, overrides)?;
    config.epochs = epochs.unwrap_or(config.epochs);
    if config.epochs != state.config.epochs && !overrides.contains_key("schedule_epochs") {
        // The learning rate and the rules that depend on the run's length stay as planned.
        config.schedule_epochs = Some(state.config.planned_epochs());
    }
    config.validate()?;
    Ok(config)
}

/// Returns the settings that are overridden now, or were at an earlier resume.
fn accepted(run: &Path, overrides: &Overrides) -> BTreeSet<String> {
    let rows = kasmina_records::lines::<ResumeRow>(&run.join(RESUMES)).unwrap_or_default();
    let earlier = rows.into_iter().flat_map(|row| row.overrides.into_keys());
    earlier.chain(overrides.keys().cloned()).collect()
}

fn setting(field: &str, reason: &str) -> TrainError {
    TrainError::Setting { field: field.to_owned(), reason: reason.to_owned() }
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
