//! Bounded reading of files that may be plugins.

use crate::block_reader::BlockReader;
use crate::declared;
use crate::error::{Refusal, Rule};
use kasmina_files::{Limit, limit, open_regular};
use std::io::{Error, ErrorKind};
use std::path::Path;

/// Opens a file to read parts of it. Anything but a regular file is refused without waiting, such as a pipe.
pub(crate) fn open(path: &Path) -> Result<BlockReader, Refusal> {
    open_regular(path).and_then(BlockReader::new).map_err(|error| unreadable(path, &error))
}

/// Reads a regular file. A file that is larger than the limit is refused.
pub(crate) fn read(path: &Path, limit: Limit) -> Result<Vec<u8>, Refusal> {
    kasmina_files::read(path, limit).map_err(|error| unreadable(path, &error))
}

/// Returns the size limit of a plugin file, by its name.
pub(crate) fn limit_of(path: &Path) -> Limit {
    if declared::is_declared(path) {
        limit::DECLARED
    } else if declared::is_module(path) {
        limit::MODULE
    } else {
        limit::LIBRARY
    }
}

fn unreadable(path: &Path, error: &Error) -> Refusal {
    let remedy = match error.kind() {
        ErrorKind::InvalidInput => "name a plugin file, or the folder that contains it",
        ErrorKind::FileTooLarge => "docs/security.md lists the limits; check that this is the right file",
        _ => "check the path and that you may read the file",
    };
    Refusal {
        path: path.to_owned(),
        rule: Rule::Readable,
        found: error.to_string(),
        remedy: remedy.to_owned(),
    }
}
