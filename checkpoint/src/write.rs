//! Writing a checkpoint: aside, synchronised, renamed.

use crate::error::io;
use crate::folder::{TEMPORARY, name_of, remove};
use crate::manifest::{MANIFEST, MODEL, OPTIMIZER, STATE, TRAINING};
use crate::{About, CheckpointError, FileRecord, Manifest, SCHEMA, TensorData, space};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Room for headers, the manifest and the file system's own records, in bytes.
const MARGIN: u64 = 1 << 20;

/// What a checkpoint consists of.
#[derive(Debug)]
pub struct Contents<'a> {
    /// Position of the run and where it is written.
    pub about: About,
    /// `state.json`, without its schema version.
    pub state: &'a serde_json::Value,
    /// Variables of the network.
    pub model: Vec<TensorData<'a>>,
    /// State of the optimizer.
    pub optimizer: Vec<TensorData<'a>>,
    /// All other tensors: random generators, snapshots.
    pub training: Vec<TensorData<'a>>,
}

/// A checkpoint that is on the disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Folder of the checkpoint.
    pub path: PathBuf,
    /// Position of the run and where it was written.
    pub about: About,
    /// Size of all its files, in bytes.
    pub bytes: u64,
}

/// Writes a checkpoint into a folder of checkpoints, which is made where it is missing. One of the same step
/// and epoch is replaced.
///
/// # Errors
/// If there is no room, or the system refuses; a half-written checkpoint is removed.
pub fn write(folder: &Path, contents: &Contents<'_>) -> Result<Written, CheckpointError> {
    fs::create_dir_all(folder).map_err(io("make", folder))?;
    let state = state_text(contents.state);
    let tensors = [&contents.model, &contents.optimizer, &contents.training];
    let payload: u64 = tensors.iter().flat_map(|file| file.iter()).map(|t| t.bytes.len() as u64).sum();
    let needed = payload + state.len() as u64 + MARGIN;
    if let Some(free) = space::free(folder)
        && free < needed
    {
        return Err(CheckpointError::NoSpace { path: folder.to_owned(), needed, free });
    }
    let name = name_of(&contents.about);
    let aside = folder.join(format!("{TEMPORARY}{name}"));
    let _ = fs::remove_dir_all(&aside);
    let written = write_files(&aside, contents, &state).and_then(|bytes| {
        let path = folder.join(&name);
        replace(&aside, &path)?;
        synchronise(folder)?;
        Ok(Written { path, about: contents.about.clone(), bytes })
    });
    if written.is_err() {
        let _ = fs::remove_dir_all(&aside);
    }
    written
}

/// The text of `state.json`: the schema version comes first.
fn state_text(state: &serde_json::Value) -> Vec<u8> {
    let mut text = format!("{{\"schema\":{SCHEMA},\"state\":");
    text.push_str(&state.to_string());
    text.push_str("}\n");
    text.into_bytes()
}

/// Writes all files of a checkpoint and returns their size together.
fn write_files(aside: &Path, contents: &Contents<'_>, state: &[u8]) -> Result<u64, CheckpointError> {
    fs::create_dir(aside).map_err(io("make", aside))?;
    let mut files = BTreeMap::new();
    for (name, tensors) in
        [(MODEL, &contents.model), (OPTIMIZER, &contents.optimizer), (TRAINING, &contents.training)]
    {
        let path = aside.join(name);
        let views = tensors.iter().map(|tensor| (tensor.name, tensor));
        // The crate makes it for its owner alone; it is to be as readable as any other file.
        let made = File::create(&path).and_then(|file| file.metadata()).map_err(io("write", &path))?;
        let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        safetensors::serialize_to_file(views, Some(format), &path).map_err(|error| match error {
            safetensors::SafeTensorError::IoError(source) => io("write", &path)(source),
            other => crate::error::damaged(&path, other.to_string()),
        })?;
        fs::set_permissions(&path, made.permissions()).map_err(io("write", &path))?;
        files.insert(name.to_owned(), recorded(&path)?);
    }
    let path = aside.join(STATE);
    fs::write(&path, state).map_err(io("write", &path))?;
    files.insert(STATE.to_owned(), recorded(&path)?);

    let bytes = files.values().map(|file| file.bytes).sum::<u64>();
    let manifest = Manifest { schema: SCHEMA, about: contents.about.clone(), files };
    let path = aside.join(MANIFEST);
    let text = serde_json::to_string_pretty(&manifest).unwrap_or_default() + "\n";
    fs::write(&path, &text).map_err(io("write", &path))?;
    synchronise(&path)?;
    synchronise(aside)?;
    Ok(bytes + text.len() as u64)
}

/// Sends a file to the disk and measures what lies there.
fn recorded(path: &Path) -> Result<FileRecord, CheckpointError> {
    synchronise(path)?;
    FileRecord::of(path)
}

/// Waits until a file, or the entries of a folder, are on the disk.
pub(crate) fn synchronise(path: &Path) -> Result<(), CheckpointError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(io("synchronise", path))
}

/// Gives a folder its name. One that has the name already changes places with it and is removed then: there
/// is no moment without a whole checkpoint of that name.
fn replace(aside: &Path, path: &Path) -> Result<(), CheckpointError> {
    if !path.exists() {
        return fs::rename(aside, path).map_err(io("rename", aside));
    }
    if renameat_with(CWD, aside, CWD, path, RenameFlags::EXCHANGE).is_ok() {
        return fs::remove_dir_all(aside).map_err(io("remove", aside));
    }
    // A file system that cannot exchange.
    remove(path)?;
    fs::rename(aside, path).map_err(io("rename", aside))
}
