//! `manifest.json`: what a checkpoint is of, and the size and hash of each of its files.

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
/// The files that a manifest must record, no more and no less.
pub(crate) const FILES: [&str; 4] = [MODEL, OPTIMIZER, TRAINING, STATE];

/// The longest manifest that is read, in bytes: five records fit into a hundredth of it.
const LONGEST: u64 = 1 << 20;
/// Bytes that are hashed at a time.
const CHUNK: usize = 1 << 20;

/// What a checkpoint is of: enough to list and to choose without reading the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// Epochs that were trained to their end.
    pub epoch: u32,
    /// Optimizer steps that were made.
    pub step: u64,
    /// Whether it was written between two epochs; otherwise in the middle of one.
    pub epoch_is_whole: bool,
    /// Whether the run was over.
    pub finished: bool,
    /// The task's score at the newest validation; more is better. `None` before the first.
    pub score: Option<f64>,
    /// Whether the losses of the newest epoch were finite.
    pub finite: bool,
    /// Version of Kasmina that wrote the checkpoint.
    pub version: String,
    /// When it was written, in seconds since 1970.
    pub written: u64,
}

/// The size and hash of one file.
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
    /// What the checkpoint is of.
    pub about: About,
    /// The other files of the folder.
    pub files: BTreeMap<String, FileRecord>,
}

/// The one field that every version has.
#[derive(Deserialize)]
struct Versioned {
    schema: u32,
}

impl Manifest {
    /// Reads the manifest of a checkpoint's folder.
    ///
    /// # Errors
    /// If it cannot be read, is no manifest, or is of a later version.
    pub fn read(folder: &Path) -> Result<Self, CheckpointError> {
        let path = folder.join(MANIFEST);
        let bytes = read_bounded(&path, LONGEST)?;
        Self::parse(&path, &bytes)
    }

    /// Reads the text of a manifest; `path` is what messages name.
    ///
    /// # Errors
    /// If it is no manifest, or is of a later version.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let wrong = |e: serde_json::Error| damaged(path, format!("it is no manifest: {e}"));
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
    /// Measures a file as it lies on the disk.
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

    /// Reads a file and refuses it if it is not the one that was recorded.
    pub(crate) fn read(&self, path: &Path) -> Result<Vec<u8>, CheckpointError> {
        self.check_size(path)?;
        // The allocation follows the size of the file on disk, never a number that a file states.
        let mut bytes = Vec::new();
        open(path)?.read_to_end(&mut bytes).map_err(io("read", path))?;
        self.check_hash(path, &hex::encode(Sha256::digest(&bytes)))?;
        Ok(bytes)
    }

    /// Refuses a file that is not the one that was recorded, without keeping its bytes.
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

/// Opens a file for reading. What is no file (a pipe, a device) is refused: opening or reading it might never
/// end.
fn open(path: &Path) -> Result<File, CheckpointError> {
    open_regular(path).map_err(|error| match error.kind() {
        ErrorKind::InvalidInput => damaged(path, "it is no regular file"),
        _ => io("read", path)(error),
    })
}

/// Reads a file of at most `most` bytes.
fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>, CheckpointError> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(io("read", path))?;
    if bytes.len() as u64 > most {
        return Err(damaged(path, format!("it is longer than {most} bytes")));
    }
    Ok(bytes)
}
