//! The file of a module.

use super::torch;
use kasmina_plugin_api::{ErrorKind, PluginError, Result};
use kasmina_torch_ext::Error;
use std::path::Path;

/// Its bytes, if they look like an archive whose end is there.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    let wrong = |what: String| Err(PluginError::config(format!("{}: {what}", path.display())));
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return wrong(format!("the module cannot be read: {error}")),
    };
    if !bytes.starts_with(b"PK\x03\x04") {
        return wrong("it is no TorchScript archive; write it with torch.jit.save".to_owned());
    }
    // The archive's directory ends within this many bytes of the file's end.
    let tail = &bytes[bytes.len().saturating_sub(22 + 0xffff)..];
    if !tail.windows(4).any(|four| four == b"PK\x05\x06") {
        return wrong("it is cut off; copy or save it again".to_owned());
    }
    Ok(bytes)
}

/// What libtorch said of it.
pub(super) fn refused(path: &Path, error: &Error) -> PluginError {
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
