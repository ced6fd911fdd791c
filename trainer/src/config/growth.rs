//! When and how seeds germinate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When and how seeds germinate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GrowthConfig {
    /// First epoch at whose end a seed may germinate.
    pub first_epoch: u32,
    /// `periodic`: epochs between germinations. One is skipped if no slot is free or another seed is in
    /// TRAINING.
    #[schemars(range(min = 1))]
    pub every: u32,
    /// `heuristic`: epochs without progress that count as a plateau.
    #[schemars(range(min = 1))]
    pub plateau_epochs: u32,
    /// `heuristic`: gain in validation accuracy that counts as progress, in percentage points.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub plateau_threshold: f64,
    /// Epochs in TRAINING after which a seed is pruned; at least twice the epochs that G2 requires.
    #[schemars(range(min = 1))]
    pub max_training_epochs: u32,
    /// Consecutive epochs with NaN or infinite values after which a seed is pruned; 0 disables this.
    pub max_unhealthy_epochs: u32,
    /// Whether alpha moves with every training step towards the value of a ramp that counts epochs. If not,
    /// alpha changes only at the end of each epoch.
    pub glide: bool,
    /// Whether seeds are built ahead on another thread. They then germinate an epoch later.
    pub prefetch: bool,
}

impl Default for GrowthConfig {
    fn default() -> Self {
        Self {
            first_epoch: 3,
            every: 1,
            plateau_epochs: 3,
            plateau_threshold: 0.5,
            max_training_epochs: 12,
            max_unhealthy_epochs: 3,
            glide: true,
            prefetch: false,
        }
    }
}
