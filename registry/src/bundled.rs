//! The plugins that belong to this program, in a folder beside it.

use crate::builtin::{Linear, Noop};
use crate::grafted::Grafted;
use kasmina_plugin_api::prelude::{Blend as _, Blueprint as _, Host as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Where the plugins lie that belong to this program.
pub(crate) fn folder() -> Option<PathBuf> {
    std::env::current_exe().ok().and_then(|exe| exe.parent().map(|folder| folder.join("plugins")))
}

/// The folder of plugins that should lie beside this program, if there is none and nothing but built-ins is
/// known.
pub(crate) fn missing(known: &[String]) -> Option<PathBuf> {
    let built_in = [Noop::INFO.id, Linear::INFO.id, Grafted::INFO.id];
    let nothing_else = known.iter().all(|id| built_in.contains(&id.as_str()));
    folder().filter(|folder| nothing_else && !folder.exists())
}

/// Whether a file lies among the plugins that belong to this program, however it was named.
pub(crate) fn contains(file: &Path) -> bool {
    let Some(folder) = real_folder() else { return false };
    file.canonicalize().is_ok_and(|file| file.parent() == Some(folder))
}

/// The folder without symbolic links, if it exists. Looked up once in a process: every file of a listing asks
/// for it.
fn real_folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    if FOLDER.get().is_none() {
        let real = folder()?.canonicalize().ok()?;
        FOLDER.get_or_init(|| real);
    }
    FOLDER.get().map(PathBuf::as_path)
}
