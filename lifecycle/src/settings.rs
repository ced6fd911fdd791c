//! Settings of a slot's lifecycle, with bounds.

use super::bounds::{SettingsError, check_bounds};
use super::gate::{Gate, QualityGates};
use super::stage::Stage;
use super::units::floor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Stages in which the seed's input is detached from the host's gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// In TRAINING, and for topology `cnn` in every later active stage too. With a linear blend at alpha 1
    /// every host layer before the slot then receives no gradient. Also read as `bible`, its name before
    /// version 0.2.
    #[serde(alias = "bible")]
    Always,
    /// Like `always`, but not in HOLDING and FOSSILIZED.
    #[default]
    ReleaseAtHolding,
    /// In no stage, not even in TRAINING.
    Never,
}

impl Isolation {
    /// Whether the seed's input is detached in a stage; false for stages that are not active.
    pub fn detaches(self, stage: Stage, topology: &str) -> bool {
        let cnn = topology == "cnn";
        match (self, stage) {
            (Self::Never, _) => false,
            (_, Stage::Training) => true,
            (_, Stage::Blending | Stage::Shadowing) | (Self::Always, Stage::Holding | Stage::Fossilized) => {
                cnn
            }
            _ => false,
        }
    }
}

/// The settings of a slot's lifecycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Thresholds of the gates.
    pub gates: QualityGates,
    /// Gates that advance a seed automatically. FOSSILIZED always needs a command.
    #[schemars(extend("items" = { "enum": ["G1", "G2", "G3", "G4"] }))]
    pub auto_advance: BTreeSet<Gate>,
    /// Keeps only the safety checks, for a learned controller that should find its own thresholds: G2
    /// requires epochs and finite gradients, G3 alpha at its target, G5 a counterfactual and health.
    pub permissive: bool,
    /// Length of the task in epochs, from which minimum and maximum times in stages follow.
    #[schemars(range(min = 1))]
    pub max_epochs: Option<u32>,
    /// Fraction of `max_epochs` that a seed trains at least.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub train_fraction: f64,
    /// Epochs in HOLDING after which the seed is pruned. Default: a tenth of `max_epochs`, but at least 5.
    #[schemars(range(min = 1))]
    pub holding_timeout: Option<u32>,
    /// Epochs that a slot is EMBARGOED after a prune, before one epoch in RESETTING. 0 empties the slot at
    /// once.
    pub cooldown_epochs: u32,
    /// Epochs in SHADOWING, between BLENDING and HOLDING. 0 skips the stage.
    pub shadowing_epochs: u32,
    /// Stages in which the seed's input is detached from the host's gradients.
    pub isolation: Isolation,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            gates: QualityGates::default(),
            auto_advance: [Gate::G1, Gate::G2, Gate::G3, Gate::G4].into(),
            permissive: false,
            max_epochs: None,
            train_fraction: 0.1,
            holding_timeout: None,
            cooldown_epochs: 0,
            shadowing_epochs: 0,
            isolation: Isolation::default(),
        }
    }
}

impl Settings {
    /// Checks all bounds.
    ///
    /// # Errors
    /// The first field that is out of its bounds.
    pub fn validate(&self) -> Result<(), SettingsError> {
        check_bounds(self)
    }

    /// Stage after BLENDING: SHADOWING if enabled, otherwise HOLDING.
    pub(super) fn after_blending(&self) -> Stage {
        if self.shadowing_epochs > 0 { Stage::Shadowing } else { Stage::Holding }
    }

    /// Minimum number of epochs in TRAINING.
    pub fn min_training_epochs(&self) -> u32 {
        let share = |max: u32| floor(f64::from(max) * self.train_fraction) as u32;
        self.max_epochs.map_or(1, |max| share(max).max(1))
    }

    /// Number of epochs in HOLDING after which the seed is pruned.
    pub fn effective_holding_timeout(&self) -> u32 {
        let tenth = |max: u32| floor(f64::from(max) * 0.1) as u32;
        self.holding_timeout.unwrap_or_else(|| self.max_epochs.map_or(5, |max| tenth(max).max(5)))
    }
}
