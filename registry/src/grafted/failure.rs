//! Converts errors of libtorch into errors of a host.

use kasmina_plugin_api::{ErrorKind, PluginError};
use kasmina_torch_ext::Error;
use std::path::Path;

/// Returns the error for a module that libtorch cannot load or use, with the path of its file.
pub(super) fn refused(path: &Path, error: &Error) -> PluginError {
    if let Error::Forbidden { .. } = error {
        let text = format!("{}: {error}; docs/security.md says what a module may do", path.display());
        return PluginError::unsupported(text);
    }
    let mut error = torch(error.clone());
    if error.kind == ErrorKind::Torch {
        error.kind = ErrorKind::Config;
    }
    // For a damaged archive, libtorch's message contains the bytes that it could not read.
    let message: String = error.message.chars().take(240).collect();
    let message = message.split(" (Could this error message").next().unwrap_or_default();
    error.message = format!("{}: {}", path.display(), message.trim_end_matches('.'));
    error
}

/// Converts an error of libtorch.
pub(super) fn torch(error: Error) -> PluginError {
    match error {
        Error::Torch(text) => PluginError::torch(&text),
        other => PluginError::other(other.to_string()),
    }
}
