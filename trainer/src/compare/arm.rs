//! The arms of a comparison: the grown run and its controls.

use crate::config::{PreinstalledSeed, RunConfig, bare_id};
use crate::error::TrainError;
use crate::run::Summary;
use serde::{Deserialize, Serialize};

/// One arm of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The run as it is configured.
    Grown,
    /// The host without seeds.
    Host,
    /// A seed in every slot, one after another, at full alpha and without gates.
    Naive,
    /// The final network of the grown run with the same random seed, trained from the start.
    Static,
    /// As `Static`, but trained for as many multiply-adds as the grown run.
    Matched,
}

/// All arms, in an order in which they can be run: a control comes after the runs that its settings depend
/// on.
pub const ARMS: [Arm; 5] = [Arm::Grown, Arm::Host, Arm::Naive, Arm::Static, Arm::Matched];

/// The runs with the same random seed that the settings of a control depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grown<'a> {
    pub(super) grown: &'a Summary,
    pub(super) from_the_start: Option<&'a Summary>,
}

impl Arm {
    /// Returns the name of the arm in folders and tables.
    pub fn id(self) -> &'static str {
        match self {
            Self::Grown => "grown",
            Self::Host => "host",
            Self::Naive => "naive",
            Self::Static => "static",
            Self::Matched => "matched",
        }
    }

    /// Returns a description in one line.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Grown => "the run as configured",
            Self::Host => "the host alone",
            Self::Naive => "a seed in every slot at full alpha, no gates",
            Self::Static => "the grown run's final network, trained from the start",
            Self::Matched => "the same, for the grown run's multiply-adds",
        }
    }

    /// Returns the configuration of this arm's run.
    ///
    /// # Errors
    /// If the arm depends on a run that is missing in `made`.
    pub(super) fn config(self, run: &RunConfig, made: Option<Grown<'_>>) -> Result<RunConfig, TrainError> {
        let mut config = run.clone();
        let missing = || TrainError::Setting {
            field: "run".to_owned(),
            reason: format!("`{}` needs a grown run, and there is none", self.id()),
        };
        match self {
            Self::Grown => {}
            Self::Host => config.disable_seeds = true,
            Self::Naive => {
                without_controller(&mut config);
                let slots = run.slots.iter().take(run.max_seeds as usize);
                let preinstalled = |(i, slot): (u32, &String)| PreinstalledSeed {
                    slot: slot.clone(),
                    epoch: run.growth.first_epoch.saturating_add(run.growth.every.saturating_mul(i)),
                    blueprint: None,
                };
                config.preinstalled = (0..).zip(slots).map(preinstalled).collect();
            }
            Self::Static => config = from_the_start(config, made.ok_or_else(missing)?.grown),
            Self::Matched => {
                let made = made.ok_or_else(missing)?;
                let one = made.from_the_start.ok_or_else(missing)?;
                let per_epoch = one.training_multiply_adds / f64::from(one.epochs.max(1));
                let epochs = (made.grown.training_multiply_adds / per_epoch).round();
                config = from_the_start(config, made.grown);
                // A host may report no multiply-adds; then the epochs stay as configured.
                if epochs.is_finite() && epochs >= 1.0 {
                    config.epochs = epochs as u32;
                }
            }
        }
        Ok(config)
    }
}

/// Fates of seeds that contribute to the network's output at the end of a run.
const IN_THE_OUTPUT: [&str; 4] = ["fossilized", "blending", "shadowing", "holding"];

/// Switches the controller off: only preinstalled seeds germinate.
fn without_controller(config: &mut RunConfig) {
    "none".clone_into(&mut config.controller);
    config.script = None;
}

/// Configures a run that starts with the network that `grown` ended with.
fn from_the_start(mut config: RunConfig, grown: &Summary) -> RunConfig {
    without_controller(&mut config);
    let own = bare_id(&config.blueprint).to_owned();
    let part = grown.seeds.iter().filter(|seed| IN_THE_OUTPUT.contains(&seed.fate.as_str()));
    config.preinstalled = part
        .map(|seed| PreinstalledSeed {
            slot: seed.slot.clone(),
            epoch: 0,
            // The run's own blueprint is left out, so that its full name and its settings are used.
            blueprint: (seed.blueprint != own).then(|| seed.blueprint.clone()),
        })
        .collect();
    if config.preinstalled.is_empty() {
        config.disable_seeds = true;
    }
    config
}
