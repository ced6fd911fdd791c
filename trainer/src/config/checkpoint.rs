//! When a run is saved, and how many of its checkpoints stay.

use kasmina_checkpoint::Keep;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a run is saved into its directory, and how many of its checkpoints are kept. While saving is enabled,
/// the state before the first step and the last state are saved whatever else is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Whether checkpoints are written.
    pub enabled: bool,
    /// Epochs between two checkpoints; 0 saves at no epoch's end.
    pub every_epochs: u32,
    /// Minutes between two checkpoints, counted from the last one; 0 goes by no clock.
    #[schemars(range(min = 0.0, max = 1e6))]
    pub every_minutes: f64,
    /// Training steps between two checkpoints; 0 saves within no epoch.
    pub every_steps: u64,
    /// Number of newest checkpoints that are kept.
    #[schemars(range(min = 1))]
    pub keep: u32,
    /// Keep the checkpoint with the best validation score too.
    pub keep_best: bool,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { enabled: true, every_epochs: 1, every_minutes: 0.0, every_steps: 0, keep: 2, keep_best: true }
    }
}

impl CheckpointConfig {
    /// Rules by which older checkpoints are kept.
    pub fn keep(&self) -> Keep {
        Keep { newest: self.keep as usize, best: self.keep_best }
    }
}
