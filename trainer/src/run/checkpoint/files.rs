//! Files that the settings of a run name, besides data and plugins.

use crate::config::RunConfig;
use kasmina_files::sha256;
use std::path::Path;

/// What a host's module is called among the inputs of a run.
pub(crate) const HOST_MODULE: &str = "host module";

/// SHA-256 of the files in hexadecimal digits, by what they are.
pub(super) fn file_hashes(config: &RunConfig) -> Vec<(&'static str, String)> {
    let module = config.host.config.get("module").and_then(|path| path.as_str()).map(Path::new);
    let named = [("script", config.script.as_deref()), (HOST_MODULE, module)];
    let hash = |(what, path): (&'static str, Option<&Path>)| {
        let path = path?;
        // A run directory is a script too; its journal is what is read of it.
        let path = if path.is_dir() { path.join(kasmina_records::COMMANDS) } else { path.to_owned() };
        Some((what, sha256(&path).ok()?))
    };
    named.into_iter().filter_map(hash).collect()
}
