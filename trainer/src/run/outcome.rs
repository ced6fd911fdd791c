//! What became of seeds, and which plugins a run has used: rows of its summary.

use kasmina::SlotReport;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What became of one seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedFate {
    /// Its name.
    pub seed_id: String,
    /// Where it lived.
    pub slot: String,
    /// What it was built from.
    pub blueprint: String,
    /// `fossilized`, `pruned`, or the stage that it was in when the run ended.
    pub fate: String,
    /// Why it was pruned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The epoch at whose end it germinated.
    pub germinated_epoch: u32,
    /// What it was worth when last measured.
    pub contribution: Option<f64>,
    /// Its trainable parameters.
    pub parameters: u64,
}

impl SeedFate {
    /// Whether this may be the seed of a slot's report; of several, the newest is.
    pub(super) fn is_in(&self, report: &SlotReport) -> bool {
        self.slot == report.slot && Some(&self.seed_id) == report.seed_id.as_ref()
    }
}

/// A plugin that the run used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginSummary {
    /// Crate name.
    pub name: String,
    /// Package version.
    pub version: String,
    /// Its file; `None` for a built-in.
    pub path: Option<PathBuf>,
    /// Hash of its file.
    pub sha256: Option<String>,
    /// What the run took from it, as `kind:id`.
    pub entries: Vec<String>,
}
