//! Versions of `state.json`, and how older ones become the present one.

use crate::CheckpointError;
use serde_json::Value;
use std::path::Path;

/// The version of `state.json` and `manifest.json` that is written.
pub const SCHEMA: u32 = 2;

/// Turns a state of an older version into one of the present version.
///
/// Each older version has one arm.
pub(crate) fn migrate(path: &Path, found: u32, state: Value) -> Result<Value, CheckpointError> {
    match found {
        // Version 2 adds `interface`, which may be absent.
        SCHEMA | 1 => Ok(state),
        0 => Err(crate::error::damaged(path, "schema version 0 was never written")),
        _ => Err(CheckpointError::Newer { path: path.to_owned(), found, known: SCHEMA }),
    }
}
