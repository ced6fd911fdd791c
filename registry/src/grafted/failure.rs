//! Failures of libtorch as errors of a host.

use kasmina_plugin_api::{ErrorKind, PluginError};
use kasmina_torch_ext::Error;
use std::path::Path;

/// What libtorch said of a module in a file.
pub(super) fn refused(path: &Path, error: &Error) -> PluginError {
    if let Error::Forbidden { .. } = error {
        let text = format!("{}: {error}; docs/security.md says what it may do", path.display());
        return PluginError::unsupported(text);
    }
    let mut error = torch(error.clone());
    if error.kind == ErrorKind::Torch {
        error.kind = ErrorKind::Config;
    }
    // Of a damaged archive it quotes what it could not read.
    let said: String = error.message.chars().take(240).collect();
    let said = said.split(" (Could this error message").next().unwrap_or_default();
    error.message = format!("{}: {}", path.display(), said.trim_end_matches('.'));
    error
}

/// Converts an error of libtorch.
pub(super) fn torch(error: Error) -> PluginError {
    match error {
        Error::Torch(text) => PluginError::torch(&text),
        other => PluginError::other(other.to_string()),
    }
}
