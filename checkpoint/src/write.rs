//! Writing of checkpoints: into a temporary folder that is synchronized with the disk and then renamed.

use crate::error::io;
use crate::folder::{TEMPORARY, name_of, remove};
use crate::manifest::{MANIFEST, MODEL, OPTIMIZER, STATE, TRAINING};
use crate::{About, CheckpointError, FileRecord, Manifest, SCHEMA, TensorData, space};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// Additional space for headers, the manifest and the file system's own data, in bytes.
const MARGIN: u64 = 1 << 20;

/// Contents of a checkpoint to be written.
#[derive(Debug)]
pub struct Contents<'a> {
    /// Description of the checkpoint.
    pub about: About,
    /// Contents of `state.json`, without the schema version.
    pub state: &'a serde_json::Value,
    /// Variables of the network.
    pub model: Vec<TensorData<'a>>,
    /// State of the optimizer.
    pub optimizer: Vec<TensorData<'a>>,
    /// All other tensors, such as the states of random generators.
    pub training: Vec<TensorData<'a>>,
}

/// A checkpoint that was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Folder of the checkpoint.
    pub path: PathBuf,
    /// Description of the checkpoint.
    pub about: About,
    /// Total size of its files in bytes.
    pub bytes: u64,
}

/// Writes a checkpoint into a folder of checkpoints, which is created if it is missing. A checkpoint of the
/// same step and epoch is replaced.
///
/// # Errors
/// If there is not enough space, or the system refuses. A partly written checkpoint is removed.
pub fn write(folder: &Path, contents: &Contents<'_>) -> Result<Written, CheckpointError> {
    fs::create_dir_all(folder).map_err(io("create", folder))?;
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
    let temporary = folder.join(format!("{TEMPORARY}{name}"));
    let _ = fs::remove_dir_all(&temporary);
    let written = write_files(&temporary, contents, &state).and_then(|bytes| {
        let path = folder.join(&name);
        replace(&temporary, &path)?;
        synchronise(folder)?;
        Ok(Written { path, about: contents.about.clone(), bytes })
    });
    if written.is_err() {
        let _ = fs::remove_dir_all(&temporary);
    }
    written
}

/// Returns the text of `state.json`, with the schema version first.
fn state_text(state: &serde_json::Value) -> Vec<u8> {
    let mut text = format!("{{\"schema\":{SCHEMA},\"state\":");
    text.push_str(&state.to_string());
    text.push_str("}\n");
    text.into_bytes()
}

/// Writes all files of a checkpoint into a new folder, and returns their total size in bytes.
fn write_files(temporary: &Path, contents: &Contents<'_>, state: &[u8]) -> Result<u64, CheckpointError> {
    fs::create_dir(temporary).map_err(io("create", temporary))?;
    let mut files = BTreeMap::new();
    for (name, tensors) in
        [(MODEL, &contents.model), (OPTIMIZER, &contents.optimizer), (TRAINING, &contents.training)]
    {
        let path = temporary.join(name);
        let views = tensors.iter().map(|tensor| (tensor.name, tensor));
        // `safetensors` makes its files private. Give them the permissions of any other new file.
        let created = File::create(&path).and_then(|file| file.metadata()).map_err(io("write", &path))?;
        let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        safetensors::serialize_to_file(views, Some(format), &path).map_err(|error| match error {
            safetensors::SafeTensorError::IoError(source) => io("write", &path)(source),
            other => crate::error::damaged(&path, other.to_string()),
        })?;
        fs::set_permissions(&path, created.permissions()).map_err(io("write", &path))?;
        files.insert(name.to_owned(), synchronise_and_record(&path)?);
    }
    let path = temporary.join(STATE);
    fs::write(&path, state).map_err(io("write", &path))?;
    files.insert(STATE.to_owned(), synchronise_and_record(&path)?);

    let bytes = files.values().map(|file| file.bytes).sum::<u64>();
    let manifest = Manifest { schema: SCHEMA, about: contents.about.clone(), files };
    let path = temporary.join(MANIFEST);
    let text = serde_json::to_string_pretty(&manifest).unwrap_or_default() + "\n";
    fs::write(&path, &text).map_err(io("write", &path))?;
    synchronise(&path)?;
    synchronise(temporary)?;
    Ok(bytes + text.len() as u64)
}

/// Synchronizes a file with the disk, and computes its size and hash from what the disk contains.
fn synchronise_and_record(path: &Path) -> Result<FileRecord, CheckpointError> {
    synchronise(path)?;
    FileRecord::of(path)
}

/// Synchronizes a file, or the entries of a folder, with the disk.
pub(crate) fn synchronise(path: &Path) -> Result<(), CheckpointError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(io("synchronise", path))
}

/// Renames the temporary folder to `path`. An existing folder is exchanged with it and then removed, so that
/// there is always a complete checkpoint of that name.
fn replace(temporary: &Path, path: &Path) -> Result<(), CheckpointError> {
    if !path.exists() {
        return fs::rename(temporary, path).map_err(io("rename", temporary));
    }
    if renameat_with(CWD, temporary, CWD, path, RenameFlags::EXCHANGE).is_ok() {
        return fs::remove_dir_all(temporary).map_err(io("remove", temporary));
    }
    // The file system does not support exchanging two folders.
    remove(path)?;
    fs::rename(temporary, path).map_err(io("rename", temporary))
}
