//! `state.json`: everything of a run that is no tensor.

use super::environment::Environment;
use crate::config::RunConfig;
use crate::run::health::Health;
use crate::run::journals::JournalLengths;
use crate::run::tally::Tally;
use crate::task::Interface;
use kasmina::lifecycle::any_numbers;
use kasmina::model::ModelState;
use kasmina_registry::Trust;
use kasmina_torch_ext::optim::OptimizerState;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Everything of a run between two steps that is no tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunState {
    /// Structure and stages, then what the model's parts have measured and counted.
    pub(crate) model: ModelState,
    pub(crate) optimizer: OptimizerState,
    pub(crate) controller: ControllerState,
    pub(crate) tally: Tally,
    pub(crate) health: Health,
    pub(crate) position: Position,
    /// Acts on the live run at the present step that were done already.
    pub(crate) acts_done: usize,
    /// Slots whose seed a client has asked to remove at the end of the epoch.
    pub(crate) asked_prunes: Vec<String>,
    /// What plugins have recorded since the last epoch, by `plugin/name`.
    #[serde(with = "any_numbers")]
    pub(crate) plugin_metrics: BTreeMap<String, f64>,
    /// How much of each journal was written.
    pub(crate) journals: JournalLengths,
    /// Seconds that the run had taken.
    pub(crate) seconds: f64,
    /// The settings of the run as resolved.
    pub(crate) config: RunConfig,
    /// Every build of a plugin that the run needs to go on.
    pub(crate) plugins: Vec<PluginRow>,
    /// What the bits of the results depend on besides settings and data.
    pub(crate) environment: Environment,
    /// What the network reads and predicts. Checkpoints of versions before 0.2 have none.
    #[serde(default)]
    pub(crate) interface: Option<Interface>,
    /// SHA-256 of the data and of other files that the run reads, by what they are.
    pub(crate) inputs: BTreeMap<String, String>,
}

/// The state of a controller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ControllerState {
    /// Id of the controller.
    pub(crate) id: String,
    /// State as the controller gave it.
    pub(crate) state: Value,
}

/// Where a run stands in its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Position {
    /// The epoch in training, counted from 1; 0 before anything was done.
    pub(crate) epoch: u32,
    /// Samples of the epoch that were learned from; 0 if it has not begun.
    pub(crate) samples: i64,
    /// Multiply-adds of a forward, per sample, when the epoch began.
    pub(crate) multiply_adds: u64,
}

impl Position {
    /// Position before the first step.
    pub(crate) const START: Self = Self { epoch: 0, samples: 0, multiply_adds: 0 };

    /// Before the first step of an epoch.
    pub(crate) fn begin_of(epoch: u32) -> Self {
        Self { epoch, samples: 0, multiply_adds: 0 }
    }
}

/// A build of a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PluginRow {
    pub(crate) name: String,
    pub(crate) version: String,
    /// SHA-256 of its file in hexadecimal digits.
    pub(crate) sha256: String,
    /// How far it was trusted.
    pub(crate) trust: Trust,
    /// Whether what germinates next is of this build; otherwise only something that lives is.
    pub(crate) current: bool,
    /// Whether the run has used something of it, so that a copy of it is kept.
    pub(crate) used: bool,
}
