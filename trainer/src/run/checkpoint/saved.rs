//! Reading the network of a checkpoint without resuming the run.

use super::builds::Builds;
use super::staging::tensors_of;
use super::state::RunState;
use crate::config::RunConfig;
use crate::error::TrainError;
use crate::run::model_config::model_config;
use crate::task::{Input, Interface};
use kasmina::MorphogeneticModel;
use kasmina::model::ModelState;
use kasmina::state::{EntryName, RestoredTensors};
use kasmina_checkpoint::{About, Checkpoint, CheckpointError, Listed, Tensors};
use kasmina_plugin_api::Kind;
use kasmina_registry::{Entry, Registry, RegistryError, stored};
use serde::Deserialize as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use tch::{Device, Tensor};

/// Choice of a checkpoint of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// The newest checkpoint.
    #[default]
    Last,
    /// The checkpoint with the best validation score.
    Best,
    /// The checkpoint at the end of an epoch.
    Epoch(u32),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "last" => Ok(Self::Last),
            "best" => Ok(Self::Best),
            number => number.parse().map(Self::Epoch).map_err(|_| {
                format!("`{text}` is not a checkpoint; it must be `best`, `last` or the number of an epoch")
            }),
        }
    }
}

/// The network of a checkpoint: its structure, its weights, and its inputs and outputs.
#[derive(Debug)]
pub struct SavedNetwork {
    pub(super) checkpoint: Checkpoint,
    pub(super) state: RunState,
    /// The run directory that the checkpoint is of.
    run: PathBuf,
}

impl SavedNetwork {
    /// Reads a checkpoint. `path` is a run directory, or the folder of one checkpoint, for which `choice` is
    /// ignored. Nothing is written.
    ///
    /// # Errors
    /// If there is no such checkpoint, or it is damaged.
    pub fn open(path: &Path, choice: Choice) -> Result<Self, TrainError> {
        let folder = path.join(kasmina_checkpoint::FOLDER);
        if folder.is_dir() {
            return Self::read(&find_checkpoint(path, &folder, choice)?, path);
        }
        if path.join("manifest.json").is_file() {
            let run = path.parent().and_then(Path::parent).unwrap_or(Path::new("."));
            return Self::read(path, run);
        }
        let reason = if path.is_dir() {
            "it is neither a run directory with checkpoints nor a checkpoint"
        } else if path.exists() {
            "it is no directory"
        } else {
            "there is no such directory"
        };
        Err(TrainError::NoNetwork { path: path.to_owned(), reason: reason.to_owned() })
    }

    fn read(folder: &Path, run: &Path) -> Result<Self, TrainError> {
        let checkpoint = Checkpoint::read(folder)?;
        let damaged = |reason: String| CheckpointError::Damaged { path: folder.join("state.json"), reason };
        let state = RunState::deserialize(&checkpoint.state).map_err(|e| damaged(e.to_string()))?;
        Ok(Self { checkpoint, state, run: run.to_owned() })
    }

    /// Returns the folder of the checkpoint.
    pub fn path(&self) -> &Path {
        &self.checkpoint.path
    }

    /// Returns the run directory that contains the checkpoint. The registry's policy must accept its copies
    /// of plugins ([`keeping_copies`](kasmina_registry::Policy::keeping_copies)).
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// Returns the position of the run when the checkpoint was written.
    pub fn about(&self) -> &About {
        &self.checkpoint.about
    }

    /// Returns the configuration of the run.
    pub fn config(&self) -> &RunConfig {
        &self.state.config
    }

    /// Returns the structure of the network.
    pub fn model(&self) -> &ModelState {
        &self.state.model
    }

    /// Returns the variables of the network by name, with their stored shapes.
    pub fn weights(&self) -> &Tensors {
        &self.checkpoint.model
    }

    /// Returns the inputs and outputs of the network.
    ///
    /// # Errors
    /// If the checkpoint was written by a version that did not save it.
    pub fn interface(&self) -> Result<&Interface, TrainError> {
        self.state.interface.as_ref().ok_or_else(|| TrainError::NoInterface {
            path: self.checkpoint.path.clone(),
            version: self.checkpoint.about.version.clone(),
        })
    }

    /// Builds the network on a device, with its weights, as it was when the checkpoint was written.
    ///
    /// # Errors
    /// If a plugin is missing or refused, or a tensor does not fit.
    pub fn build(&self, registry: &Registry, device: Device) -> Result<MorphogeneticModel, TrainError> {
        let state = &self.state;
        let builds = self.builds(registry);
        builds.0.restore(state)?;
        builds.0.make_current(state, &state.model.host.entry)?;
        let sample = sample(self.interface()?, device)?;
        let config = model_config(&state.config, state.model.host.config.clone(), device, 1);
        let mut model = MorphogeneticModel::build(registry, &config, &sample)?;
        builds.0.restore(state)?;
        let mut tensors = RestoredTensors {
            model: tensors_of(&self.checkpoint.model)?,
            training: tensors_of(&self.checkpoint.training)?,
        };
        let resolve = |kind, name: &EntryName| builds.resolve(kind, name);
        model
            .restore(&state.model, &mut tensors, &resolve, registry, &mut ())
            .map_err(|error| TrainError::State { path: self.checkpoint.path.clone(), error: error.into() })?;
        Ok(model)
    }

    /// Returns the builds of plugins that the network was made with.
    pub fn builds<'r>(&self, registry: &'r Registry) -> SavedBuilds<'r> {
        SavedBuilds(Builds::new(registry, self.run.join(stored::FOLDER)))
    }
}

/// The builds of plugins that a saved network was made with.
pub struct SavedBuilds<'r>(Builds<'r>);

impl SavedBuilds<'_> {
    /// Finds an entry in the build that it belonged to when the checkpoint was written.
    ///
    /// # Errors
    /// If that build is neither loaded nor among the copies of the run, or is refused.
    pub fn resolve(&self, kind: Kind, name: &EntryName) -> Result<Entry, RegistryError> {
        self.0.resolve(kind, name)
    }
}

impl std::fmt::Debug for SavedBuilds<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SavedBuilds")
    }
}

/// Returns an input of two samples, all zeros, which are token 0 for a network that reads tokens.
///
/// # Shapes
/// `[2, channels, height, width]` for images, `[2, T]` for tokens.
fn sample(interface: &Interface, device: Device) -> Result<Tensor, TrainError> {
    Ok(match &interface.input {
        Input::Image(image) => {
            Tensor::f_zeros([2, image.channels, image.height, image.width], (tch::Kind::Float, device))?
        }
        Input::Tokens(tokens) => Tensor::f_zeros([2, tokens.length], (tch::Kind::Int64, device))?,
    })
}

/// Returns the folder of the chosen checkpoint.
fn find_checkpoint(run: &Path, folder: &Path, choice: Choice) -> Result<PathBuf, TrainError> {
    let all = kasmina_checkpoint::list(folder)?;
    let whole = |listed: &&Listed| listed.manifest.is_ok();
    let epochs = || {
        let ends = all.iter().filter_map(|listed| Some((listed, &listed.manifest.as_ref().ok()?.about)));
        ends.filter(|(_, about)| about.epoch_is_whole)
    };
    let found = match choice {
        Choice::Last => all.iter().rev().find(whole),
        Choice::Best => epochs()
            .filter_map(|(listed, about)| Some((about.score.filter(|score| score.is_finite())?, listed)))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, listed)| listed),
        Choice::Epoch(epoch) => epochs().find(|(_, about)| about.epoch == epoch).map(|(listed, _)| listed),
    };
    if let Some(listed) = found {
        return Ok(listed.path.clone());
    }
    let known: Vec<String> = epochs().map(|(_, about)| about.epoch.to_string()).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let reason = match choice {
        Choice::Last => "it has no checkpoint".to_owned(),
        Choice::Best => "none of its checkpoints has a score".to_owned(),
        Choice::Epoch(epoch) => {
            format!("it has no checkpoint at the end of epoch {epoch}; it has those of {known}")
        }
    };
    Err(TrainError::NoNetwork { path: run.to_owned(), reason })
}
