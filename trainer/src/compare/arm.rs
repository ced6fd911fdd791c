//! The run that grows and its controls.

use crate::config::{PreinstalledSeed, RunConfig, short};
use crate::error::TrainError;
use crate::run::Summary;
use serde::{Deserialize, Serialize};

/// One side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The run as it is configured.
    Grown,
    /// The host, and nothing else.
    Host,
    /// A seed in every slot, one after another, at full alpha and without gates.
    Naive,
    /// The net that the grown run of the same seed ends with, trained from the start.
    Static,
    /// The same for as many multiply-adds as the grown run took.
    Matched,
}

/// In the order in which they can be run: what a control is made out of comes before it.
pub const ARMS: [Arm; 5] = [Arm::Grown, Arm::Host, Arm::Naive, Arm::Static, Arm::Matched];

/// The runs of the same seed that a control is made out of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grown<'a> {
    pub(super) grown: &'a Summary,
    pub(super) from_the_start: Option<&'a Summary>,
}

impl Arm {
    /// A word for folders and tables.
    pub fn id(self) -> &'static str {
        match self {
            Self::Grown => "grown",
            Self::Host => "host",
            Self::Naive => "naive",
            Self::Static => "static",
            Self::Matched => "matched",
        }
    }

    /// What it is, in a line.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Grown => "the run as configured",
            Self::Host => "the host alone",
            Self::Naive => "a seed in every slot at full alpha, no gates",
            Self::Static => "the grown run's final net, from the start",
            Self::Matched => "the same, for the grown run's multiply-adds",
        }
    }

    /// The run of this arm.
    pub(super) fn config(self, run: &RunConfig, made: Option<Grown<'_>>) -> Result<RunConfig, TrainError> {
        let mut config = run.clone();
        let missing = || TrainError::Setting {
            field: "run".to_owned(),
            reason: format!("`{}` is made out of a grown run, and there is none", self.id()),
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
                let an_epoch = one.training_multiply_adds / f64::from(one.epochs.max(1));
                let epochs = (made.grown.training_multiply_adds / an_epoch).round();
                config = from_the_start(config, made.grown);
                // Of a host without multiply-adds nobody knows what it costs.
                if epochs.is_finite() && epochs >= 1.0 {
                    config.epochs = epochs as u32;
                }
            }
        }
        Ok(config)
    }
}

/// The fates of seeds that a run's last measurement has in its output.
const IN_THE_OUTPUT: [&str; 4] = ["fossilized", "blending", "shadowing", "holding"];

/// Switches the controller off: only preinstalled seeds germinate.
fn without_controller(config: &mut RunConfig) {
    "none".clone_into(&mut config.controller);
    config.script = None;
}

/// Configures a run that starts with the network that `grown` ended with.
fn from_the_start(mut config: RunConfig, grown: &Summary) -> RunConfig {
    without_controller(&mut config);
    let own = short(&config.blueprint).to_owned();
    let part = grown.seeds.iter().filter(|seed| IN_THE_OUTPUT.contains(&seed.fate.as_str()));
    config.preinstalled = part
        .map(|seed| PreinstalledSeed {
            slot: seed.slot.clone(),
            epoch: 0,
            // By its full name where it is the run's own.
            blueprint: (seed.blueprint != own).then(|| seed.blueprint.clone()),
        })
        .collect();
    if config.preinstalled.is_empty() {
        config.disable_seeds = true;
    }
    config
}
