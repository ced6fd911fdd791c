//! `control.jsonl`: what was done to a live run from outside, with the step, so that a run that goes on from
//! a checkpoint does it again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The journal's name in a run directory.
pub const LIVE_JOURNAL: &str = "control.jsonl";

/// Something that was done to a live run, written down before it acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveRow {
    /// Optimizer steps that were made before it.
    pub step: u64,
    /// What was done to the run.
    #[serde(flatten)]
    pub act: LiveAct,
}

/// What can be done to a live run so that its results are others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum LiveAct {
    /// The seed of a slot is to be removed at the end of the epoch.
    Prune {
        /// Slot, by name or alias.
        slot: String,
    },
    /// Another build of a plugin comes.
    Swap {
        /// Path of the plugin's file.
        path: PathBuf,
        /// Name of the plugin.
        plugin: String,
        /// SHA-256 of the file in hexadecimal digits.
        sha256: String,
    },
    /// A build was refused before it could come.
    Refused {
        /// Path of the plugin's file.
        path: PathBuf,
        /// The rule that it breaks.
        rule: String,
        /// Error that the swap ended with.
        error: String,
    },
}
