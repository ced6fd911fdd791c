//! Copies of plugins in a run directory.
//!
//! A run directory may come from anybody, so a hash in it proves integrity but not trust. A copy is trusted
//! only if its hash is in the record in this user's state folder, which is written when a run of this user
//! uses the bytes.

use crate::entry::PluginInfo;
use crate::error::{Refusal, RegistryError, Rule};
use crate::policy::Policy;
use crate::read::hash_of;
use crate::{declared, dl, plugin_file, recorded};
use kasmina_files::{limit, write_whole};
use std::path::{Path, PathBuf};

/// Name of the folder of copies in a run directory.
pub const FOLDER: &str = recorded::COPIES;

/// Writes a copy of the file of a loaded build into a folder, and records that this user has run these bytes.
/// The copy is named by their hash. Returns its path, or `None` for a built-in plugin.
///
/// # Errors
/// If the copy cannot be written, or an interpreted file has changed since it was loaded.
pub fn keep(plugin: &PluginInfo, folder: &Path, policy: &Policy) -> Result<Option<PathBuf>, RegistryError> {
    let (Some(from), Some(sha256)) = (&plugin.path, &plugin.sha256) else { return Ok(None) };
    let refuse = |path: &Path, found: String| Refusal {
        path: path.to_owned(),
        rule: Rule::Readable,
        found,
        remedy: "check that the run directory can be written".to_owned(),
    };
    let to = copy_path(folder, sha256, from);
    policy.record(sha256);
    if to.exists() {
        return Ok(Some(to));
    }
    std::fs::create_dir_all(folder).map_err(|e| refuse(folder, e.to_string()))?;
    let write =
        |path: &Path, bytes: &[u8]| write_whole(path, bytes, true).map_err(|e| refuse(path, e.to_string()));
    if let Some(bytes) = dl::bytes(sha256) {
        write(&to, &bytes.map_err(|e| refuse(from, e.to_string()))?)?;
        return Ok(Some(to));
    }
    if hash_of(from)? != *sha256 {
        return Err(refuse(from, "it has changed since it was loaded".to_owned()).into());
    }
    if declared::is_module(from) {
        let sidecar = declared::sidecar(from);
        write(&declared::sidecar(&to), &plugin_file::read(&sidecar, limit::DECLARED)?)?;
    }
    write(&to, &plugin_file::read(from, plugin_file::limit_of(from))?)?;
    Ok(Some(to))
}

/// Returns the path of the copy of a build in a folder, if there is one.
pub fn find(folder: &Path, sha256: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let named = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let ending = name.strip_prefix(sha256);
        ending.is_some_and(|ending| ENDINGS.contains(&ending))
    };
    entries.flatten().map(|entry| entry.path()).find(named)
}

/// Suffixes of plugin files; sidecars are not among them.
const ENDINGS: [&str; 3] = [".so", ".blueprint.toml", ".pt"];

/// Returns the path of a copy. Its name has the suffix of the original, which determines the kind of file.
fn copy_path(folder: &Path, sha256: &str, from: &Path) -> PathBuf {
    let name = from.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let ending = ENDINGS.into_iter().find(|ending| name.ends_with(ending)).unwrap_or(".so");
    folder.join(format!("{sha256}{ending}"))
}
