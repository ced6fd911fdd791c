//! Where the user's own files lie, and how they are written: whole, or not at all.

use etcetera::BaseStrategy as _;
use kasmina_files::{limit, read, write_whole};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Error;
use std::path::{Path, PathBuf};

fn base() -> Option<etcetera::base_strategy::Xdg> {
    etcetera::base_strategy::Xdg::new().ok()
}

/// Folder of the user's plugins.
pub(crate) fn plugins() -> Option<PathBuf> {
    base().map(|b| b.data_dir().join("kasmina/plugins"))
}
/// The keys that the user trusts.
pub(crate) fn keys() -> Option<PathBuf> {
    base().map(|b| b.config_dir().join("kasmina/keys"))
}
/// What can be made again.
pub(crate) fn cache() -> Option<PathBuf> {
    base().map(|b| b.cache_dir().join("kasmina"))
}
/// File of the quarantine.
pub(crate) fn quarantine() -> Option<PathBuf> {
    base().and_then(|b| b.state_dir()).map(|dir| dir.join("kasmina/quarantine.json"))
}

/// The lock files that the user has confirmed.
pub(crate) fn projects() -> Option<PathBuf> {
    base().and_then(|b| b.state_dir()).map(|dir| dir.join("kasmina/projects.json"))
}

/// The hashes of what the user's runs have used.
pub(crate) fn recorded() -> Option<PathBuf> {
    base().and_then(|b| b.state_dir()).map(|dir| dir.join("kasmina/recorded.json"))
}

/// Where a file lies that need not exist: its folder without symbolic links, and its name.
pub(crate) fn in_real_folder(file: &Path) -> PathBuf {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let folder = absolute.parent().and_then(|folder| folder.canonicalize().ok());
    folder.zip(absolute.file_name()).map_or(absolute.clone(), |(folder, name)| folder.join(name))
}

/// Makes the folder of a file where it is missing.
pub(crate) fn make_folder_of(file: &Path) -> std::io::Result<()> {
    match file.parent().filter(|f| !f.as_os_str().is_empty()) {
        Some(folder) => std::fs::create_dir_all(folder),
        None => Ok(()),
    }
}

/// Writes a file whole, in a folder that is made where it is missing.
pub(crate) fn write(path: &Path, text: &str) -> std::io::Result<()> {
    make_folder_of(path)?;
    write_whole(path, text.as_bytes(), true)
}

/// Writes what can be made again. A cache that cannot be kept costs time and nothing else.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) {
    let written =
        serde_json::to_string_pretty(value).map_err(Error::from).and_then(|text| write(path, &text));
    if let Err(error) = written {
        tracing::debug!("{} is not kept: {error}", path.display());
    }
}

/// Reads what can be made again; a file that is missing or damaged is empty.
pub(crate) fn read_json<T: DeserializeOwned + Default>(path: &Path) -> T {
    read_kept(path).unwrap_or_default()
}

/// Reads what cannot be made again; a file that is missing is empty.
///
/// # Errors
/// If it is there and cannot be read, or is damaged.
pub(crate) fn read_kept<T: DeserializeOwned + Default>(path: &Path) -> std::io::Result<T> {
    match read(path, limit::STATE) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(Error::from),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(error),
    }
}
