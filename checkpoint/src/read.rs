//! Reading of checkpoints. The size and hash of a file are checked before its contents are used.

use crate::error::damaged;
use crate::manifest::{FILES, MODEL, OPTIMIZER, STATE, TRAINING};
use crate::write::{Contents, Written, write};
use crate::{About, CheckpointError, FileRecord, Manifest, Tensors, schema};
use serde::Deserialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A checkpoint that was read completely into memory.
#[derive(Debug)]
pub struct Checkpoint {
    /// Folder of the checkpoint.
    pub path: PathBuf,
    /// Description of the checkpoint.
    pub about: About,
    /// Contents of `state.json`, in the present schema version.
    pub state: Value,
    /// Variables of the network.
    pub model: Tensors,
    /// State of the optimizer.
    pub optimizer: Tensors,
    /// All other tensors, such as the states of random generators.
    pub training: Tensors,
}

/// Contents of the file `state.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Versioned {
    schema: u32,
    state: Value,
}

impl Checkpoint {
    /// Reads a checkpoint's folder.
    ///
    /// # Errors
    /// If a file is missing, was truncated or altered, or is of a later version.
    pub fn read(folder: &Path) -> Result<Self, CheckpointError> {
        let manifest = Manifest::read(folder)?;
        let bytes = |name: &str| record(&manifest, folder, name)?.read(&folder.join(name));
        let tensors = |name: &str| Tensors::parse(&folder.join(name), bytes(name)?);
        let state = parse_state(&folder.join(STATE), &bytes(STATE)?)?;
        Ok(Self {
            path: folder.to_owned(),
            state,
            model: tensors(MODEL)?,
            optimizer: tensors(OPTIMIZER)?,
            training: tensors(TRAINING)?,
            about: manifest.about,
        })
    }
}

impl Checkpoint {
    /// Writes the checkpoint into another folder of checkpoints.
    ///
    /// # Errors
    /// As for [`write`](crate::write).
    pub fn write_to(&self, folder: &Path) -> Result<Written, CheckpointError> {
        let (model, optimizer, training) = (self.model.data(), self.optimizer.data(), self.training.data());
        let contents = Contents { about: self.about.clone(), state: &self.state, model, optimizer, training };
        write(folder, &contents)
    }
}

/// Parses the text of a `state.json`, and converts an older schema version to the present one; `path` is used
/// in error messages.
///
/// # Errors
/// If the text is not a valid state, or is of a later version.
pub fn parse_state(path: &Path, bytes: &[u8]) -> Result<Value, CheckpointError> {
    let wrong = |e: serde_json::Error| damaged(path, format!("it is not a valid state: {e}"));
    let Versioned { schema, state } = serde_json::from_slice(bytes).map_err(wrong)?;
    schema::migrate(path, schema, state)
}

/// Checks the size and hash of every file of a checkpoint.
///
/// # Errors
/// If a file is missing, truncated or altered; the first one is reported.
pub fn verify(folder: &Path) -> Result<Manifest, CheckpointError> {
    let manifest = Manifest::read(folder)?;
    for name in FILES {
        record(&manifest, folder, name)?.verify(&folder.join(name))?;
    }
    Ok(manifest)
}

fn record<'m>(manifest: &'m Manifest, folder: &Path, name: &str) -> Result<&'m FileRecord, CheckpointError> {
    manifest.files.get(name).ok_or_else(|| damaged(folder, format!("its manifest does not record {name}")))
}
