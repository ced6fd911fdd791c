//! When seeds are put in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When seeds are put in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GrowthConfig {
    /// The first epoch at whose end a seed may germinate.
    pub first_epoch: u32,
    /// `periodic`: epochs between germinations, if a slot is free and no other seed is in training by then.
    #[schemars(range(min = 1))]
    pub every: u32,
    /// `heuristic`: epochs without progress that make a plateau.
    #[schemars(range(min = 1))]
    pub plateau_epochs: u32,
    /// `heuristic`: percent points that count as progress.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub plateau_threshold: f64,
    /// Epochs in TRAINING after which a seed is given up; at least twice what G2 asks for.
    #[schemars(range(min = 1))]
    pub max_training_epochs: u32,
    /// Epochs in a row that a seed's numbers may be NaN or infinite in before it is removed; 0 waits for
    /// ever.
    pub max_unhealthy_epochs: u32,
    /// Alpha moves with every step of an epoch towards where a ramp that counts epochs has put it; otherwise
    /// it jumps there at the epoch's edge.
    pub glide: bool,
    /// Make germinations ready ahead, on another thread; they land an epoch later.
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
