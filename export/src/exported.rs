//! Reading an export back.

use crate::ExportError;
use crate::content::CONFIG;
use crate::record::Record;
use crate::stored::{Stored, bytes};
use kasmina_files::limit;
use kasmina_trainer::task::Interface;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A network that was exported.
#[derive(Debug)]
pub struct Exported {
    folder: PathBuf,
    record: Record,
    interface: Interface,
    stored: Stored,
}

/// The part of `config.json` that Kasmina reads.
#[derive(Debug, Deserialize)]
pub(crate) struct Description {
    #[serde(rename = "kasmina")]
    pub(crate) record: Record,
    pub(crate) interface: Interface,
    /// The hash of the host's weights, in an adapter.
    #[serde(default)]
    pub(crate) host_weights: Option<String>,
}

impl Description {
    /// Reads the description of an export.
    ///
    /// # Errors
    /// If it is missing or damaged, or another program has written it.
    pub(crate) fn read(folder: &Path) -> Result<Self, ExportError> {
        serde_json::from_slice(&bytes(folder, CONFIG, limit::CONFIG)?).map_err(|error| ExportError::Read {
            path: folder.join(CONFIG),
            reason: format!("it is not the description of an exported network: {error}"),
        })
    }
}

impl Exported {
    /// Whether a folder looks like an export, of any format.
    pub(crate) fn is_at(folder: &Path) -> bool {
        folder.join(CONFIG).is_file()
    }

    /// Reads an export.
    ///
    /// # Errors
    /// If its files are missing or damaged, it was written by another program, or it is an adapter.
    pub(crate) fn open(folder: &Path) -> Result<Self, ExportError> {
        let description = Description::read(folder)?;
        let stored = Stored::read(folder, &description.record)?;
        Ok(Self::new(folder, description, stored))
    }

    /// Returns an export with this description and content.
    pub(crate) fn new(folder: &Path, description: Description, stored: Stored) -> Self {
        let Description { record, interface, .. } = description;
        Self { folder: folder.to_owned(), record, interface, stored }
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

    /// Returns the weights or the module.
    pub(crate) fn stored(&self) -> &Stored {
        &self.stored
    }
}
