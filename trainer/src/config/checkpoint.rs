//! When a run is saved, and which of its checkpoints are kept.

use kasmina_checkpoint::Keep;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a run is saved into its directory, and which of its checkpoints are kept. While saving is enabled,
/// the state before the first step and the last state are always saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Whether checkpoints are written.
    pub enabled: bool,
    /// Epochs between two checkpoints; 0 disables saving by epochs.
    pub every_epochs: u32,
    /// Minutes between two checkpoints, counted from the last one; 0 disables saving by time.
    #[schemars(range(min = 0.0, max = 1e6))]
    pub every_minutes: f64,
    /// Training steps between two checkpoints; 0 disables saving by steps.
    pub every_steps: u64,
    /// Number of newest checkpoints that are kept.
    #[schemars(range(min = 1))]
    pub keep: u32,
    /// Whether the checkpoint with the best validation score is kept too.
    pub keep_best: bool,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { enabled: true, every_epochs: 1, every_minutes: 0.0, every_steps: 0, keep: 2, keep_best: true }
    }
}

impl CheckpointConfig {
    /// Returns the rules by which older checkpoints are kept.
    pub fn keep(&self) -> Keep {
        Keep { newest: self.keep as usize, best: self.keep_best }
    }
}
