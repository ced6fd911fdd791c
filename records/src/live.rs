//! Rows of `control.jsonl`: requests that changed a running run, with their steps. A run that resumes from a
//! checkpoint repeats them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Name of the file of live requests in a run directory.
pub const LIVE_JOURNAL: &str = "control.jsonl";

/// A request that changes a running run, as written to `control.jsonl` before it takes effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveRow {
    /// Number of optimizer steps before the request.
    pub step: u64,
    /// The request.
    #[serde(flatten)]
    pub act: LiveAct,
}

/// Kinds of requests that can change the results of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum LiveAct {
    /// Removes the seed of a slot at the end of the epoch.
    Prune {
        /// Slot, by name or alias.
        slot: String,
    },
    /// Swaps in another build of a plugin.
    Swap {
        /// Path of the plugin's file.
        path: PathBuf,
        /// Name of the plugin.
        plugin: String,
        /// SHA-256 of the file in hexadecimal digits.
        sha256: String,
    },
    /// Records that a build was refused before it could be swapped in.
    Refused {
        /// Path of the plugin's file.
        path: PathBuf,
        /// Name of the rule that the build breaks.
        rule: String,
        /// Error that the swap ended with.
        error: String,
    },
}
