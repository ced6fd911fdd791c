//! Schema versions of `state.json`, and the migration of older ones.

use crate::CheckpointError;
use serde_json::Value;
use std::path::Path;

/// Schema version of the `state.json` and `manifest.json` that this version writes.
pub const SCHEMA: u32 = 2;

/// Converts a state of an older schema version to the present one. Each older version has one arm.
pub(crate) fn migrate(path: &Path, found: u32, state: Value) -> Result<Value, CheckpointError> {
    match found {
        // Version 2 adds `interface`, which may be absent.
        SCHEMA | 1 => Ok(state),
        0 => Err(crate::error::damaged(path, "schema version 0 does not exist")),
        _ => Err(CheckpointError::Newer { path: path.to_owned(), found, known: SCHEMA }),
    }
}
