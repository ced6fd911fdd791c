//! The only file that knows how a registry loads a plugin and hands out its entries.

use crate::failure::Failure;
use kasmina_registry::{Entry, Manifest, Registry};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What this process has loaded for checking, by the path that was named.
static LOADED: Mutex<Vec<(PathBuf, Vec<Entry>)>> = Mutex::new(Vec::new());

/// Every entry of one file, without the built-ins and without what is loaded only because the file needs it.
pub(crate) fn entries(file: &Path, with: &[PathBuf]) -> Result<Vec<Entry>, Failure> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, entries)) = loaded.iter().find(|(path, _)| path == file) {
        return Ok(entries.clone());
    }
    let registry = Registry::built_in()?;
    with.iter().map(PathBuf::as_path).chain([file]).try_for_each(|file| registry.load_file(file))?;
    let plugin = Manifest::read(file).map_err(|refusal| Failure::Broken(refusal.to_string()))?.plugin.name;
    let own: Vec<Entry> = registry.entries().iter().filter(|e| e.plugin().name == plugin).cloned().collect();
    loaded.push((file.to_owned(), own.clone()));
    Ok(own)
}

/// One of them.
pub(crate) fn entry(file: &Path, with: &[PathBuf], kind: &str, id: &str) -> Result<Entry, Failure> {
    entries(file, with)?
        .into_iter()
        .find(|entry| entry.kind().as_str() == kind && entry.id() == id)
        .ok_or_else(|| Failure::Broken(format!("its records name a {kind} `{id}`, its code does not")))
}
