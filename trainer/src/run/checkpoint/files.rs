//! Files that the configuration of a run names, except data and plugins.

use crate::config::RunConfig;
use kasmina_files::sha256;
use std::path::Path;

/// Name of the host's TorchScript module among the inputs of a run.
pub(crate) const HOST_MODULE: &str = "host module";

/// Name of the weights that the host begins with among the inputs of a run. A run reads them once, so that a
/// resumed run needs no such file.
pub(super) const INITIAL_WEIGHTS: &str = "initial weights";

/// Returns the SHA-256 of each file in hexadecimal digits, with the file's name in messages.
pub(super) fn file_hashes(config: &RunConfig) -> Vec<(&'static str, String)> {
    let module = config.host.config.get("module").and_then(|path| path.as_str()).map(Path::new);
    let named = [("script", config.script.as_deref()), (HOST_MODULE, module)];
    let hash = |(what, path): (&'static str, Option<&Path>)| {
        let path = path?;
        // A script may be a run directory; then its journal of commands is read.
        let path = if path.is_dir() { path.join(kasmina_records::COMMANDS) } else { path.to_owned() };
        Some((what, sha256(&path).ok()?))
    };
    named.into_iter().filter_map(hash).collect()
}
