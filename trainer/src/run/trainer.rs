//! The parts of a run.

use super::checkpoint::Saver;
use super::dir::RunDir;
use super::health::Health;
use super::progress::Progress;
use super::ranks::Ranks;
use super::tally::Tally;
use super::training::Training;
use crate::config::RunConfig;
use crate::control::{ControlQueue, Watcher};
use crate::controller::Controller;
use crate::error::TrainError;
use crate::task::Task;
use kasmina::MorphogeneticModel;
use kasmina_registry::Registry;
use std::path::PathBuf;
use std::time::Instant;

/// A run that is ready to start: all names are resolved, all bounds checked, and the seeds that the
/// controller may germinate have been built and probed once.
///
/// Checkpoints contain the state of `training`, `controller`, `tally` and `health`, the prunes in `queue`,
/// and the position in `progress`. The order of the data is derived from the run's seed and the epoch's
/// number.
pub struct Trainer<'r> {
    pub(super) config: RunConfig,
    pub(super) registry: &'r Registry,
    pub(super) task: Task,
    pub(super) training: Training,
    pub(super) controller: Box<dyn Controller>,
    pub(super) tally: Tally,
    pub(super) health: Health,
    pub(super) queue: ControlQueue,
    /// Plugin files that are watched for new builds; if empty, the files of all loaded plugins. `None`
    /// watches none.
    pub(super) watched: Option<Vec<PathBuf>>,
    /// Number of events of the present epoch that the observer has seen already.
    pub(super) shown_events: usize,
    pub(super) progress: Progress,
    /// The run directory, if the run has one.
    pub(super) dir: Option<RunDir>,
    /// Saves the run into its directory, if checkpoints are enabled.
    pub(super) saver: Option<Saver>,
    /// The other ranks of the run; `None` if there is one rank.
    pub(super) ranks: Option<Ranks>,
    /// Time at which this process began to train.
    pub(super) begun: Option<Instant>,
}

impl std::fmt::Debug for Trainer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Trainer<'_> {
    /// Watches plugin files and swaps in each new build: these files, or those of all loaded plugins if
    /// `files` is empty. The registry's policy must trust them.
    #[must_use]
    pub fn watching(mut self, files: Vec<PathBuf>) -> Self {
        self.watched = Some(files);
        self
    }

    /// Returns the configuration of the run, with defaults filled in.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }
    /// Returns the model.
    pub fn model(&self) -> &MorphogeneticModel {
        &self.training.model
    }

    /// Returns the model without training it.
    pub fn into_model(self) -> MorphogeneticModel {
        self.training.model
    }

    /// Starts the watcher of plugin files, if files are watched.
    pub(super) fn watcher(&self) -> Result<Option<Watcher>, TrainError> {
        let Some(files) = &self.watched else { return Ok(None) };
        if files.is_empty() {
            let loaded = self.registry.plugins();
            return Watcher::on(loaded.iter().filter_map(|p| p.path.clone())).map(Some);
        }
        Watcher::on(files.clone()).map(Some)
    }
}
