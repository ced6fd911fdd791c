//! The name of a folder that is not finished.

/// What the name of a work directory starts with.
pub(super) const PARTIAL: &str = "partial-";
