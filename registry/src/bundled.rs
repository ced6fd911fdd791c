//! The bundled plugins, in a folder beside this program's executable.

use crate::builtin::{Linear, Noop};
use crate::grafted::Grafted;
use kasmina_plugin_api::prelude::{Blend as _, Blueprint as _, Host as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Returns the path of the folder of bundled plugins.
pub(crate) fn folder() -> Option<PathBuf> {
    std::env::current_exe().ok().and_then(|exe| exe.parent().map(|folder| folder.join("plugins")))
}

/// Returns the path of the folder of bundled plugins if it does not exist and only built-in entries are
/// known: then the program was not installed completely.
pub(crate) fn missing(known: &[String]) -> Option<PathBuf> {
    let built_in = [Noop::INFO.id, Linear::INFO.id, Grafted::INFO.id];
    let nothing_else = known.iter().all(|id| built_in.contains(&id.as_str()));
    folder().filter(|folder| nothing_else && !folder.exists())
}

/// Whether a file is in the folder of bundled plugins, by any path.
pub(crate) fn contains(file: &Path) -> bool {
    let Some(folder) = real_folder() else { return false };
    file.canonicalize().is_ok_and(|file| file.parent() == Some(folder))
}

/// Returns the folder of bundled plugins without symbolic links, if it exists. The result is cached, because
/// every file of a listing needs it.
fn real_folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    if FOLDER.get().is_none() {
        let real = folder()?.canonicalize().ok()?;
        FOLDER.get_or_init(|| real);
    }
    FOLDER.get().map(PathBuf::as_path)
}
