//! Collecting the state of a run for a checkpoint.

use super::collected::Collected;
use super::environment::Environment;
use super::files::{INITIAL_WEIGHTS, file_hashes};
use super::rank_state::{LOSS_SUM, OfAllRanks, generators};
use super::staging::Tensors;
use super::state::{ControllerState, PluginRow, RunState};
use crate::config::RunConfig;
use crate::config::bare_id;
use crate::error::TrainError;
use crate::run::init::weights_file;
use crate::run::journals::JournalLengths;
use crate::run::trainer::Trainer;
use crate::task::{self, Task};
use kasmina::state::StateError;
use kasmina_checkpoint::About;
use kasmina_files::sha256;
use kasmina_plugin_api::Kind;
use kasmina_registry::{INTERPRETER, PluginInfo, services};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

impl Trainer<'_> {
    /// Collects the state of every part of the run between two steps. `finished` says whether all epochs are
    /// trained, `seconds` is the wall-clock time so far.
    pub(crate) fn collect(
        &self,
        finished: bool,
        journals: JournalLengths,
        seconds: f64,
        of_all_ranks: OfAllRanks,
    ) -> Result<Collected, StateError> {
        let training = &self.training;
        let (model, tensors) = training.model.state()?;
        let mut tensors = Tensors {
            model: tensors.model,
            optimizer: training.optimizer.state_tensors(),
            training: tensors.training,
        };
        tensors.training.push((LOSS_SUM.to_owned(), of_all_ranks.loss_sum));
        tensors.training.extend(generators()?);
        tensors.training.extend(of_all_ranks.others);
        let position = self.progress.position;
        let about = About {
            epoch: self.tally.epochs(),
            step: model.step,
            epoch_is_whole: position.samples == 0,
            finished,
            score: self.tally.accuracy(),
            finite: !self.health.broken,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            written: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
        };
        let acts_done = self.progress.acts_done(model.step);
        let builds = self.builds();
        let state = RunState {
            model,
            optimizer: training.optimizer.kept(),
            controller: ControllerState {
                id: self.controller.id().to_owned(),
                state: self.controller.state(),
            },
            tally: self.tally.clone(),
            health: self.health.clone(),
            position,
            acts_done,
            asked_prunes: self.queue.pending_prunes().map(str::to_owned).collect(),
            plugin_metrics: services::metrics(),
            journals,
            seconds,
            config: self.config.clone(),
            plugins: self.plugin_rows(&builds),
            environment: Environment::now(training.model.device(), self.config.threads),
            interface: Some(self.task.interface.clone()),
            inputs: self.progress.inputs.clone(),
        };
        Ok(Collected { about, state, tensors, builds })
    }

    /// Returns every build that a resumed run needs: the loaded ones, and the earlier ones of living entries.
    fn builds(&self) -> Vec<Arc<PluginInfo>> {
        let model = &self.training.model;
        let mut builds = self.registry.plugins();
        let mut add = |build: &Arc<PluginInfo>| {
            if !builds.iter().any(|known| known.sha256 == build.sha256 && known.name == build.name) {
                builds.push(Arc::clone(build));
            }
        };
        add(model.host().plugin());
        for slot in model.slots() {
            let living = slot.entries().map(|(blueprint, blend)| [blueprint, blend]);
            living.into_iter().flatten().chain(slot.earlier_blend()).for_each(|entry| add(entry.plugin()));
        }
        builds.retain(|build| build.sha256.is_some());
        builds
    }

    /// Returns the rows of the builds in the state.
    fn plugin_rows(&self, builds: &[Arc<PluginInfo>]) -> Vec<PluginRow> {
        let used = self.used_plugins();
        let row = |build: &Arc<PluginInfo>| {
            let sha256 = build.sha256.clone()?;
            let current = self.registry.generation(&build.name).as_ref() == Some(&sha256);
            Some(PluginRow {
                name: build.name.clone(),
                version: build.version.clone(),
                sha256,
                trust: build.trust,
                current,
                // A build that is not current is listed only because an entry of it lives.
                used: !current || used.contains(&build.name),
            })
        };
        builds.iter().filter_map(row).collect()
    }

    /// Returns the names of the plugins that the run has used, or may use by its settings.
    fn used_plugins(&self) -> BTreeSet<String> {
        let mut used: BTreeSet<String> = self.tally.plugins().map(|plugin| plugin.name.clone()).collect();
        let config = &self.config;
        let preinstalled = config.preinstalled.iter().filter_map(|seed| seed.blueprint.as_ref());
        let configured: Vec<(Kind, &str)> = preinstalled
            .chain([&config.blueprint])
            .map(|id| (Kind::Blueprint, bare_id(id)))
            .chain([(Kind::Blend, bare_id(&config.blend))])
            .collect();
        for entry in self.registry.entries() {
            if configured.iter().any(|(kind, id)| entry.kind() == *kind && entry.id() == *id) {
                used.insert(entry.plugin().name.clone());
            }
        }
        // Resuming does not search the `plugin_path` of the settings, so plugins from there need copies.
        for plugin in self.registry.plugins() {
            let is_from = |place: &std::path::PathBuf| {
                let place = place.canonicalize().ok();
                place.zip(plugin.path.as_ref()).is_some_and(|(place, path)| path.starts_with(place))
            };
            if config.plugin_path.iter().any(is_from) {
                used.insert(plugin.name.clone());
            }
        }
        // Declared blueprints and TorchScript seeds need the plugin that interprets them.
        let declared = |plugin: &Arc<PluginInfo>| {
            let library = plugin.path.as_ref().is_none_or(|path| path.extension().is_some_and(|e| e == "so"));
            !library && used.contains(&plugin.name)
        };
        if self.registry.plugins().iter().any(declared) {
            used.insert(INTERPRETER.to_owned());
        }
        used
    }

    /// Returns the SHA-256 of the data and the other files that the run reads, except plugins, by their names
    /// in messages.
    pub(crate) fn input_hashes(&self) -> Result<BTreeMap<String, String>, TrainError> {
        hashes_of(&self.task, &self.config)
    }
}

/// Returns the SHA-256 of the data and the other files that a run with this configuration would read, except
/// plugins, by their names in messages.
///
/// # Errors
/// If the data cannot be read.
pub fn input_hashes(config: &RunConfig) -> Result<BTreeMap<String, String>, TrainError> {
    hashes_of(&task::load(config, tch::Device::Cpu)?, config)
}

fn hashes_of(task: &Task, config: &RunConfig) -> Result<BTreeMap<String, String>, TrainError> {
    let mut inputs = BTreeMap::from([
        ("training data".to_owned(), task.train.content_hash()?),
        ("validation data".to_owned(), task.validation.content_hash()?),
    ]);
    inputs.extend(file_hashes(config).into_iter().map(|(what, hash)| (what.to_owned(), hash)));
    let weights = config.init.from.as_deref().and_then(|path| sha256(&weights_file(path).ok()?).ok());
    inputs.extend(weights.map(|hash| (INITIAL_WEIGHTS.to_owned(), hash)));
    Ok(inputs)
}
