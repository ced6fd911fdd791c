//! What an export contains besides its description: weights, or a module.

use crate::content::{MODULE, SEEDS, WEIGHTS};
use crate::format::Format;
use crate::names::Names;
use crate::record::Record;
use crate::{ExportError, weights};
use kasmina_checkpoint::{CheckpointError, Tensors};
use kasmina_files::{Limit, limit, read};
use std::path::Path;

/// What an export contains besides its description.
#[derive(Debug)]
pub(crate) enum Stored {
    /// Weights, and the names that they have.
    Weights(Tensors, Names),
    /// The bytes of a TorchScript archive.
    Module(Vec<u8>),
}

impl Stored {
    /// Reads the files of an export, of any format but an adapter.
    ///
    /// # Errors
    /// If a file is missing or damaged.
    pub(crate) fn read(folder: &Path, record: &Record) -> Result<Self, ExportError> {
        let structure = &record.structure;
        Ok(match record.format {
            Format::Adapter => return Err(ExportError::NeedsHost { path: folder.to_owned() }),
            Format::TorchScript => Self::Module(bytes(folder, MODULE, limit::MODULE)?),
            Format::PyTorch => Self::Weights(tensors(folder, WEIGHTS)?, Names::exported(structure)),
            Format::Safetensors => {
                let names = Names::saved(structure);
                let host = tensors(folder, WEIGHTS)?;
                let seeds = if folder.join(SEEDS).exists() { Some(tensors(folder, SEEDS)?) } else { None };
                let seeds = seeds.iter().flat_map(Tensors::iter).map(|(name, view)| (name.to_owned(), view));
                Self::Weights(weights::join(&names, host.iter(), seeds, &folder.join(WEIGHTS))?, names)
            }
        })
    }
}

/// Reads a safetensors file of an export.
///
/// # Errors
/// If it is missing or damaged.
pub(crate) fn tensors(folder: &Path, name: &str) -> Result<Tensors, ExportError> {
    let bytes = bytes(folder, name, limit::WEIGHTS)?;
    Tensors::parse(&folder.join(name), bytes).map_err(|error| match error {
        CheckpointError::Damaged { path, reason } => ExportError::Read { path, reason },
        other => other.into(),
    })
}

/// Reads a file of an export.
///
/// # Errors
/// If it cannot be read, or is too large.
pub(crate) fn bytes(folder: &Path, name: &str, limit: Limit) -> Result<Vec<u8>, ExportError> {
    let path = folder.join(name);
    read(&path, limit).map_err(|error| ExportError::Read { path, reason: error.to_string() })
}
