//! The bytes of a file that may be a plugin.

use crate::error::{Refusal, Rule};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Opens a regular file; nothing else is waited for.
pub(crate) fn open(path: &Path) -> Result<File, Refusal> {
    let refuse = |found: String, remedy: &str| Refusal {
        path: path.to_owned(),
        rule: Rule::Readable,
        found,
        remedy: remedy.to_owned(),
    };
    let unreadable =
        |e: std::io::Error| refuse(e.to_string(), "check the path and that you may read the file");
    // Opening a pipe waits for whoever writes into it.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        let remedy = "name a plugin library, or the folder that holds it";
        return Err(refuse("it is not a regular file".to_owned(), remedy));
    }
    File::open(path).map_err(unreadable)
}

/// Reads a regular file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes).map_err(|e| Refusal {
        path: path.to_owned(),
        rule: Rule::Readable,
        found: e.to_string(),
        remedy: "check the disk that it lies on".to_owned(),
    })?;
    Ok(bytes)
}
