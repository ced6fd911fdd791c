//! Reading an export back.

use crate::ExportError;
use crate::content::{CONFIG, WEIGHTS};
use crate::format::Format;
use crate::names::Names;
use crate::record::Record;
use kasmina_checkpoint::{CheckpointError, Tensors};
use kasmina_files::{limit, read};
use kasmina_trainer::task::Interface;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A network that was exported as a folder for PyTorch.
#[derive(Debug)]
pub struct Exported {
    folder: PathBuf,
    record: Record,
    interface: Interface,
    weights: Tensors,
}

/// The part of `config.json` that Kasmina reads.
#[derive(Deserialize)]
struct Config {
    kasmina: Record,
    interface: Interface,
}

impl Exported {
    /// Whether a folder looks like an export, of any format.
    pub(crate) fn is_at(folder: &Path) -> bool {
        folder.join(CONFIG).is_file()
    }

    /// Reads an export.
    ///
    /// # Errors
    /// If its files are missing or damaged, it was written by another program, or it has another format than
    /// PyTorch.
    pub(crate) fn open(folder: &Path) -> Result<Self, ExportError> {
        let wrong = |name: &str, reason: String| ExportError::Read { path: folder.join(name), reason };
        let file = |name: &str, limit| {
            read(&folder.join(name), limit).map_err(|error| wrong(name, error.to_string()))
        };
        let config: Config = serde_json::from_slice(&file(CONFIG, limit::CONFIG)?).map_err(|error| {
            wrong(CONFIG, format!("it is not the description of an exported network: {error}"))
        })?;
        let format = config.kasmina.format;
        if format != Format::PyTorch {
            return Err(ExportError::OtherFormat { path: folder.to_owned(), format });
        }
        let bytes = file(WEIGHTS, limit::WEIGHTS)?;
        let weights = Tensors::parse(&folder.join(WEIGHTS), bytes).map_err(|error| match error {
            CheckpointError::Damaged { path, reason } => ExportError::Read { path, reason },
            other => other.into(),
        })?;
        Ok(Self { folder: folder.to_owned(), record: config.kasmina, interface: config.interface, weights })
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the origin and structure of the network.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Returns the inputs and outputs of the network.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Returns the weights, by the names that they have in the export.
    pub(crate) fn weights(&self) -> &Tensors {
        &self.weights
    }

    pub(crate) fn names(&self) -> Names {
        Names::exported(&self.record.structure)
    }
}
