//! What a path names: a run, a checkpoint, or an export.

use crate::exported::Exported;
use crate::{ExportError, adapter};
use kasmina_trainer::run::{Choice, SavedNetwork};
use kasmina_trainer::task::Interface;
use kasmina_trainer::{RunConfig, TrainError};
use std::path::Path;

/// A saved network, before it is built.
#[derive(Debug)]
pub enum Source {
    /// A checkpoint of a run.
    Checkpoint(Box<SavedNetwork>),
    /// A folder that `kasmina export` has written.
    Export(Box<Exported>),
}

impl Source {
    /// Reads a saved network. `path` is a run directory, the folder of one checkpoint, or an export. `choice`
    /// chooses one of the checkpoints of a run, and is otherwise ignored. Nothing is written, and no plugin
    /// is opened.
    ///
    /// # Errors
    /// If there is no saved network, or it is damaged.
    pub fn open(path: &Path, choice: Choice) -> Result<Self, ExportError> {
        if Exported::is_at(path) {
            return Ok(Self::Export(Box::new(Exported::open(path)?)));
        }
        match SavedNetwork::open(path, choice) {
            Ok(saved) => Ok(Self::Checkpoint(Box::new(saved))),
            Err(TrainError::NoNetwork { path, reason }) => {
                let reason = reason.replace("nor a checkpoint", "nor a checkpoint, nor an export");
                Err(TrainError::NoNetwork { path, reason }.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads an adapter and the weights of its host, which are those of a run, a checkpoint, an export or a
    /// safetensors file.
    ///
    /// # Errors
    /// If `path` is no adapter, or `host` has other weights than the host that its seeds were trained on.
    pub fn open_onto(path: &Path, host: &Path) -> Result<Self, ExportError> {
        Ok(Self::Export(Box::new(adapter::open(path, host)?)))
    }

    /// Returns the run directory that a checkpoint belongs to; `None` for an export. The registry's policy
    /// must accept its copies of plugins ([`keeping_copies`](kasmina_registry::Policy::keeping_copies)).
    pub fn run(&self) -> Option<&Path> {
        match self {
            Self::Checkpoint(saved) => Some(saved.run()),
            Self::Export(_) => None,
        }
    }

    /// Returns the inputs and outputs of the network.
    ///
    /// # Errors
    /// If the checkpoint was written by a version that did not save them.
    pub fn interface(&self) -> Result<&Interface, ExportError> {
        match self {
            Self::Checkpoint(saved) => Ok(saved.interface()?),
            Self::Export(export) => Ok(export.interface()),
        }
    }

    /// Returns a configuration with the task and data of the network. For an export, the paths of the data
    /// are not known.
    pub fn config(&self) -> RunConfig {
        match self {
            Self::Checkpoint(saved) => saved.config().clone(),
            Self::Export(export) => {
                let record = export.record();
                RunConfig { task: record.task.clone(), data: record.data.clone(), ..RunConfig::default() }
            }
        }
    }
}
