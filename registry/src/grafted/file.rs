//! The file of a module.

use kasmina_plugin_api::{PluginError, Result};
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
