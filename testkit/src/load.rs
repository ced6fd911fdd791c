//! Loads plugins through a registry and returns their entries.

use crate::failure::Failure;
use kasmina_registry::{Entry, Judged, Registry};
use std::sync::{Mutex, PoisonError};

/// The files that this process has loaded, with their entries.
static LOADED: Mutex<Vec<(Judged, Vec<Entry>)>> = Mutex::new(Vec::new());

/// Returns the entries of a file, without those of the built-ins and of the files in `with`, which are loaded
/// first.
pub(crate) fn entries(file: &Judged, with: &[Judged]) -> Result<Vec<Entry>, Failure> {
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, entries)) = loaded.iter().find(|(known, _)| known == file) {
        return Ok(entries.clone());
    }
    let registry = Registry::built_in()?;
    with.iter().chain([file]).try_for_each(|file| registry.load_judged(file))?;
    let of_file = |e: &&Entry| e.plugin().sha256.as_ref() == Some(&file.sha256);
    let own: Vec<Entry> = registry.entries().iter().filter(of_file).cloned().collect();
    loaded.push((file.clone(), own.clone()));
    Ok(own)
}

/// Loads the file and returns one of its entries.
pub(crate) fn entry(file: &Judged, with: &[Judged], kind: &str, id: &str) -> Result<Entry, Failure> {
    entries(file, with)?
        .into_iter()
        .find(|entry| entry.kind().as_str() == kind && entry.id() == id)
        .ok_or_else(|| Failure::Broken(format!("its records name a {kind} `{id}`, its code does not")))
}
