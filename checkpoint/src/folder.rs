//! The folder of a run's checkpoints.

use crate::error::io;
use crate::{About, CheckpointError, Manifest};
use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};

/// Name of the folder of checkpoints in a run directory.
pub const FOLDER: &str = "checkpoints";
/// Prefix of the names of folders that are being written.
pub(crate) const TEMPORARY: &str = ".writing-";
/// Prefix of the names of folders that are being removed.
const REMOVED: &str = ".removing-";
const PREFIX: &str = "step-";

/// Returns the name of a checkpoint's folder. The step comes first, so that names sort by age. The last step
/// of an epoch can have two checkpoints with different names, one before and one after its validation.
pub(crate) fn name_of(about: &About) -> String {
    let part = if about.epoch_is_whole { "whole" } else { "within" };
    format!("{PREFIX}{:010}-epoch-{:05}-{part}", about.step, about.epoch)
}

/// A checkpoint in a folder, of which only the manifest was read.
#[derive(Debug)]
pub struct Listed {
    /// Folder of the checkpoint.
    pub path: PathBuf,
    /// Manifest of the checkpoint, or why it cannot be read.
    pub manifest: Result<Manifest, CheckpointError>,
}

impl Listed {
    /// Name of the folder, without the path.
    pub fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// Lists the checkpoints of a folder, oldest first. The list is empty if the folder does not exist.
///
/// # Errors
/// If the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<Listed>, CheckpointError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io("read", folder)(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io("read", folder))?;
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths.into_iter().map(|path| Listed { manifest: Manifest::read(&path), path }).collect())
}

/// Returns the folders of all checkpoints, newest first. They may be damaged.
///
/// # Errors
/// If the folder cannot be read, or contains no checkpoint.
pub fn newest_first(folder: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let mut paths: Vec<PathBuf> = list(folder)?.into_iter().map(|listed| listed.path).collect();
    if paths.is_empty() {
        return Err(CheckpointError::None { path: folder.to_owned() });
    }
    paths.sort_by_key(|path| Reverse(path.clone()));
    Ok(paths)
}

/// Removes the partly written and partly removed checkpoints of a killed process. Only the process that owns
/// the run may call it.
pub fn clean(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(TEMPORARY) || name.starts_with(REMOVED) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Removes a checkpoint. Its folder is renamed first, so that a partly removed folder is not a checkpoint.
pub(crate) fn remove(path: &Path) -> Result<(), CheckpointError> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let renamed = path.with_file_name(format!("{REMOVED}{name}"));
    let _ = fs::remove_dir_all(&renamed);
    fs::rename(path, &renamed).map_err(io("remove", path))?;
    fs::remove_dir_all(&renamed).map_err(io("remove", &renamed))
}
