//! A run that is ready to start, as a composition of its parts.

use super::checkpoint::Saver;
use super::dir::RunDir;
use super::health::Health;
use super::progress::Progress;
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

/// A run that is ready to start: every name is resolved, every bound checked, and the seeds that the
/// controller would put in have been built and probed once.
///
/// What lasts between two steps: `training`, `controller`, `tally`, `health`, the prunes in `queue`, and the
/// position in `progress`. The order of the data follows from the run's seed and the epoch's number.
pub struct Trainer<'r> {
    pub(super) config: RunConfig,
    pub(super) registry: &'r Registry,
    pub(super) task: Task,
    pub(super) training: Training,
    pub(super) controller: Box<dyn Controller>,
    pub(super) tally: Tally,
    pub(super) health: Health,
    pub(super) queue: ControlQueue,
    /// Files whose new builds are taken while the run is live; of everything that is loaded if empty.
    pub(super) watched: Option<Vec<PathBuf>>,
    /// Events of the present epoch that an observer has seen already.
    pub(super) shown: usize,
    pub(super) progress: Progress,
    /// Where it is written down, if anywhere.
    pub(super) dir: Option<RunDir>,
    /// Saves it into its directory.
    pub(super) saver: Option<Saver>,
    /// When this process has begun to train it.
    pub(super) begun: Option<Instant>,
}

impl std::fmt::Debug for Trainer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trainer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Trainer<'_> {
    /// Takes new builds of plugins while the run is live, as soon as their files change: of these files, or
    /// of everything that is loaded where none is named. The registry's policy must know of them.
    #[must_use]
    pub fn watching(mut self, files: Vec<PathBuf>) -> Self {
        self.watched = Some(files);
        self
    }

    /// Configuration of the run, with defaults filled in.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }
    /// The model, for whoever wants to look at it.
    pub fn model(&self) -> &MorphogeneticModel {
        &self.training.model
    }

    /// A watcher of the files that were named, or of all that is loaded.
    pub(super) fn watcher(&self) -> Result<Option<Watcher>, TrainError> {
        let Some(files) = &self.watched else { return Ok(None) };
        if files.is_empty() {
            let loaded = self.registry.plugins();
            return Watcher::on(loaded.iter().filter_map(|p| p.path.clone())).map(Some);
        }
        Watcher::on(files.clone()).map(Some)
    }
}
