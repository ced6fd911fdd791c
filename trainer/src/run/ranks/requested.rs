//! What a rank wants to happen between two steps; all ranks do it together.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What a rank wants to happen between two steps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::run) struct Requested {
    /// The run is to stop, because the rank was asked to.
    pub(in crate::run) stop: bool,
    /// A checkpoint is due by the clock of rank 0.
    pub(in crate::run) save: bool,
    /// Slots whose seeds are to be pruned at the end of the epoch.
    pub(in crate::run) prunes: Vec<String>,
    /// New builds of plugins that are to be swapped in, or that were refused.
    pub(in crate::run) builds: Vec<NewBuild>,
}

/// A new build of a plugin that a rank has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::run) struct NewBuild {
    /// Path of its file on that rank.
    pub(in crate::run) path: PathBuf,
    /// The build, or why that rank has refused it.
    pub(in crate::run) found: Found,
}

/// What a rank has found about a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::run) enum Found {
    /// It can be swapped in.
    Good {
        /// SHA-256 of the file in hexadecimal digits.
        sha256: String,
    },
    /// It is refused.
    Refused {
        /// Rule that refuses it.
        rule: String,
        /// Message.
        error: String,
    },
}
