//! The name of staging folders.

/// Prefix of the name of a folder whose contents may be incomplete.
pub(super) const PARTIAL: &str = "partial-";
