//! `manifest.json`: a description of the checkpoint, and the size and hash of each of its files.

use crate::error::{damaged, io};
use crate::{CheckpointError, SCHEMA};
use kasmina_files::open_regular;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const STATE: &str = "state.json";
pub(crate) const MODEL: &str = "model.safetensors";
pub(crate) const OPTIMIZER: &str = "optimizer.safetensors";
pub(crate) const TRAINING: &str = "training.safetensors";
/// The files that a manifest must record, exactly.
pub(crate) const FILES: [&str; 4] = [MODEL, OPTIMIZER, TRAINING, STATE];

/// Maximum size of a manifest in bytes. A real one has about a hundredth of it.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;
/// Number of bytes that are hashed at a time.
const CHUNK: usize = 1 << 20;

/// Description of a checkpoint, from which checkpoints are listed and selected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Number of completed epochs.
    pub epoch: u32,
    /// Number of optimizer steps.
    pub step: u64,
    /// Whether the checkpoint was written between two epochs; otherwise it was written within one.
    pub epoch_is_whole: bool,
    /// Whether the run was complete.
    pub finished: bool,
    /// Score of the task at the last validation, higher is better; absent before the first one.
    pub score: Option<f64>,
    /// Whether the losses of the last epoch were finite.
    pub finite: bool,
    /// Version of Kasmina that wrote the checkpoint.
    pub version: String,
    /// Time of writing, in seconds since 1970.
    pub written: u64,
}

/// Size and hash of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// Size of the file in bytes.
    pub bytes: u64,
    /// SHA-256 of the file in hexadecimal digits.
    pub sha256: String,
}

/// Content of `manifest.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the checkpoint format.
    pub schema: u32,
    /// Description of the checkpoint.
    pub about: About,
    /// Size and hash of the other files of the folder, by name.
    pub files: BTreeMap<String, FileRecord>,
}

/// The field that the manifests of all versions have.
#[derive(Deserialize)]
struct Versioned {
    schema: u32,
}

impl Manifest {
    /// Reads the manifest of a checkpoint's folder.
    ///
    /// # Errors
    /// If the manifest cannot be read, is not valid, or is of a later version.
    pub fn read(folder: &Path) -> Result<Self, CheckpointError> {
        let path = folder.join(MANIFEST);
        let bytes = read_bounded(&path, MAX_MANIFEST_BYTES)?;
        Self::parse(&path, &bytes)
    }

    /// Parses the text of a manifest; `path` is used in error messages.
    ///
    /// # Errors
    /// If the text is not a valid manifest, or is of a later version.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let wrong = |e: serde_json::Error| damaged(path, format!("it is not a valid manifest: {e}"));
        let Versioned { schema } = serde_json::from_slice(bytes).map_err(wrong)?;
        if schema > SCHEMA {
            return Err(CheckpointError::Newer { path: path.to_owned(), found: schema, known: SCHEMA });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(wrong)?;
        if !manifest.files.keys().map(String::as_str).eq(sorted(FILES)) {
            let found: Vec<&str> = manifest.files.keys().map(String::as_str).collect();
            return Err(damaged(path, format!("it records {found:?} instead of {FILES:?}")));
        }
        Ok(manifest)
    }
}

fn sorted(mut names: [&'static str; 4]) -> [&'static str; 4] {
    names.sort_unstable();
    names
}

impl FileRecord {
    /// Computes the size and hash of a file on the disk.
    pub(crate) fn of(path: &Path) -> Result<Self, CheckpointError> {
        let mut file = open(path)?;
        let mut hash = Sha256::new();
        let (mut bytes, mut chunk) = (0, vec![0; CHUNK]);
        loop {
            let read = file.read(&mut chunk).map_err(io("read", path))?;
            let Some(new) = chunk.get(..read).filter(|new| !new.is_empty()) else { break };
            hash.update(new);
            bytes += read as u64;
        }
        Ok(Self { bytes, sha256: hex::encode(hash.finalize()) })
    }

    /// Reads a file. Refuses it if its size or hash differs from the record.
    pub(crate) fn read(&self, path: &Path) -> Result<Vec<u8>, CheckpointError> {
        self.check_size(path)?;
        // The allocation follows the size of the file on the disk, not a number in a file.
        let mut bytes = Vec::new();
        open(path)?.read_to_end(&mut bytes).map_err(io("read", path))?;
        self.check_hash(path, &hex::encode(Sha256::digest(&bytes)))?;
        Ok(bytes)
    }

    /// Refuses a file whose size or hash differs from the record, without keeping its bytes in memory.
    pub(crate) fn verify(&self, path: &Path) -> Result<(), CheckpointError> {
        self.check_size(path)?;
        self.check_hash(path, &Self::of(path)?.sha256)
    }

    fn check_size(&self, path: &Path) -> Result<(), CheckpointError> {
        let found = std::fs::metadata(path).map_err(io("read", path))?.len();
        if found == self.bytes {
            return Ok(());
        }
        Err(damaged(path, format!("it has {found} bytes, the manifest records {}", self.bytes)))
    }

    fn check_hash(&self, path: &Path, found: &str) -> Result<(), CheckpointError> {
        if found == self.sha256 {
            return Ok(());
        }
        Err(damaged(path, "it was altered: its SHA-256 is not the one that the manifest records"))
    }
}

/// Opens a regular file for reading. A pipe or device is refused, because opening or reading it might never
/// end.
fn open(path: &Path) -> Result<File, CheckpointError> {
    open_regular(path).map_err(|error| match error.kind() {
        ErrorKind::InvalidInput => damaged(path, "it is not a regular file"),
        _ => io("read", path)(error),
    })
}

/// Reads a file of at most `max` bytes.
fn read_bounded(path: &Path, max: u64) -> Result<Vec<u8>, CheckpointError> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(io("read", path))?;
    if bytes.len() as u64 > max {
        return Err(damaged(path, format!("it is larger than {max} bytes")));
    }
    Ok(bytes)
}
