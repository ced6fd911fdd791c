//! Where the user's own files lie, and how they are written: whole, or not at all.

use crate::files::write_whole;
use etcetera::BaseStrategy as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::Error;
use std::path::{Path, PathBuf};

fn base() -> Option<etcetera::base_strategy::Xdg> {
    etcetera::base_strategy::Xdg::new().ok()
}

/// The user's plugins.
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
/// What has crashed.
pub(crate) fn quarantine() -> Option<PathBuf> {
    base().and_then(|b| b.state_dir()).map(|dir| dir.join("kasmina/quarantine.json"))
}

/// The hashes of what the user's runs have used.
pub(crate) fn recorded() -> Option<PathBuf> {
    base().and_then(|b| b.state_dir()).map(|dir| dir.join("kasmina/recorded.json"))
}

/// Writes a file whole, in a folder that is made where it is missing.
pub(crate) fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
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

/// Reads it back; what is not there, or is not ours, is nothing.
pub(crate) fn read_json<T: DeserializeOwned + Default>(path: &Path) -> T {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}
