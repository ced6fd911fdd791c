//! Paths of the user's own files, and atomic writing of them.

use etcetera::BaseStrategy as _;
use kasmina_files::{limit, read, write_whole};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Error;
use std::path::{Path, PathBuf};

fn base() -> Option<etcetera::base_strategy::Xdg> {
    etcetera::base_strategy::Xdg::new().ok()
}

/// Returns the folder of the user's plugins.
pub(crate) fn plugins() -> Option<PathBuf> {
    base().map(|b| b.data_dir().join("kasmina/plugins"))
}
/// Returns the folder of the keys that the user trusts.
pub(crate) fn keys() -> Option<PathBuf> {
    base().map(|b| b.config_dir().join("kasmina/keys"))
}
/// Returns the user's cache folder.
pub(crate) fn cache() -> Option<PathBuf> {
    base().map(|b| b.cache_dir().join("kasmina"))
}
/// Returns the path of the quarantine file.
pub(crate) fn quarantine() -> Option<PathBuf> {
    base().and_then(|b| b.state_dir()).map(|dir| dir.join("kasmina/quarantine.json"))
}

/// Returns the path of the file of confirmed lock files.
pub(crate) fn projects() -> Option<PathBuf> {
    base().and_then(|b| b.state_dir()).map(|dir| dir.join("kasmina/projects.json"))
}

/// Returns the path of the file with the hashes of plugins and modules that the user's runs have used.
pub(crate) fn recorded() -> Option<PathBuf> {
    base().and_then(|b| b.state_dir()).map(|dir| dir.join("kasmina/recorded.json"))
}

/// Returns the absolute path of a file that need not exist, with the symbolic links of its folder resolved.
pub(crate) fn in_real_folder(file: &Path) -> PathBuf {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let folder = absolute.parent().and_then(|folder| folder.canonicalize().ok());
    folder.zip(absolute.file_name()).map_or(absolute.clone(), |(folder, name)| folder.join(name))
}

/// Creates the folder of a file if it does not exist.
pub(crate) fn make_folder_of(file: &Path) -> std::io::Result<()> {
    match file.parent().filter(|f| !f.as_os_str().is_empty()) {
        Some(folder) => std::fs::create_dir_all(folder),
        None => Ok(()),
    }
}

/// Writes a file atomically. Creates its folder if it does not exist.
pub(crate) fn write(path: &Path, text: &str) -> std::io::Result<()> {
    make_folder_of(path)?;
    write_whole(path, text.as_bytes(), true)
}

/// Writes a value as JSON. A failure is only logged, because callers can continue without the file.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) {
    let written =
        serde_json::to_string_pretty(value).map_err(Error::from).and_then(|text| write(path, &text));
    if let Err(error) = written {
        tracing::debug!("cannot write {}: {error}", path.display());
    }
}

/// Reads a value that can be computed again. Returns the default if the file is missing or damaged.
pub(crate) fn read_json<T: DeserializeOwned + Default>(path: &Path) -> T {
    read_state(path).unwrap_or_default()
}

/// Reads a value that cannot be computed again. Returns the default if the file is missing.
///
/// # Errors
/// If the file exists and cannot be read, or is damaged.
pub(crate) fn read_state<T: DeserializeOwned + Default>(path: &Path) -> std::io::Result<T> {
    match read(path, limit::STATE) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(Error::from),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(T::default()),
        Err(error) => Err(error),
    }
}
