//! Copies of plugins that a run keeps, and the record of which bytes this user has run.
//!
//! A run directory comes from anywhere, so a hash in it proves integrity and never trust. What vouches for a
//! copy is the record in this user's own state folder, written when this user's run used the bytes.

use crate::entry::PluginInfo;
use crate::error::{Refusal, RegistryError, Rule};
use crate::policy::Policy;
use crate::read::hash_of;
use crate::{declared, dl, plugin_file, recorded};
use kasmina_files::{limit, write_whole};
use std::path::{Path, PathBuf};

/// The folder of copies in a run directory.
pub const FOLDER: &str = recorded::COPIES;

/// Keeps a copy of the bytes of a build that is loaded, named by their hash, and records them as run by this
/// user. Returns where it lies, or `None` for a built-in.
///
/// # Errors
/// If the copy cannot be written, or the file of a declared blueprint has changed since it was loaded.
pub fn keep(plugin: &PluginInfo, folder: &Path, policy: &Policy) -> Result<Option<PathBuf>, RegistryError> {
    let (Some(from), Some(sha256)) = (&plugin.path, &plugin.sha256) else { return Ok(None) };
    let wrong = |path: &Path, found: String| Refusal {
        path: path.to_owned(),
        rule: Rule::Readable,
        found,
        remedy: "check that the run directory can be written".to_owned(),
    };
    let to = place(folder, sha256, from);
    policy.record(sha256);
    if to.exists() {
        return Ok(Some(to));
    }
    std::fs::create_dir_all(folder).map_err(|e| wrong(folder, e.to_string()))?;
    let write =
        |path: &Path, bytes: &[u8]| write_whole(path, bytes, true).map_err(|e| wrong(path, e.to_string()));
    if let Some(bytes) = dl::bytes(sha256) {
        write(&to, &bytes.map_err(|e| wrong(from, e.to_string()))?)?;
        return Ok(Some(to));
    }
    if hash_of(from)? != *sha256 {
        return Err(wrong(from, "it has changed since it was loaded".to_owned()).into());
    }
    if declared::is_module(from) {
        let sidecar = declared::sidecar(from);
        write(&declared::sidecar(&to), &plugin_file::read(&sidecar, limit::DECLARED)?)?;
    }
    write(&to, &plugin_file::read(from, plugin_file::limit_of(from))?)?;
    Ok(Some(to))
}

/// The copy of a build in a folder, if there is one.
pub fn find(folder: &Path, sha256: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let named = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let ending = name.strip_prefix(sha256);
        ending.is_some_and(|ending| ENDINGS.contains(&ending))
    };
    entries.flatten().map(|entry| entry.path()).find(named)
}

/// How the names of files end that are plugins by themselves.
const ENDINGS: [&str; 3] = [".so", ".blueprint.toml", ".pt"];

/// The name of a copy keeps the ending that says what the file is.
fn place(folder: &Path, sha256: &str, from: &Path) -> PathBuf {
    let name = from.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let ending = ENDINGS.into_iter().find(|ending| name.ends_with(ending)).unwrap_or(".so");
    folder.join(format!("{sha256}{ending}"))
}
