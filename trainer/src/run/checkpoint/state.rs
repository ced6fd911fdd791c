//! The content of `state.json`: the state of a run except its tensors.

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

/// The state of a run between two steps, except its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunState {
    /// Structure and stages of the model, and the measurements and counters of its parts.
    pub(crate) model: ModelState,
    pub(crate) optimizer: OptimizerState,
    pub(crate) controller: ControllerState,
    pub(crate) tally: Tally,
    pub(crate) health: Health,
    pub(crate) position: Position,
    /// Number of acts on the live run that were done at the present step.
    pub(crate) acts_done: usize,
    /// Slots whose seed is to be pruned at the end of the epoch by request of a client.
    pub(crate) asked_prunes: Vec<String>,
    /// Metrics that plugins have recorded since the last epoch, by `plugin/name`.
    #[serde(with = "any_numbers")]
    pub(crate) plugin_metrics: BTreeMap<String, f64>,
    /// Lengths of the journals.
    pub(crate) journals: JournalLengths,
    /// Wall-clock time of the run so far, in seconds.
    pub(crate) seconds: f64,
    /// Resolved configuration of the run.
    pub(crate) config: RunConfig,
    /// Every build of a plugin that a resumed run needs.
    pub(crate) plugins: Vec<PluginRow>,
    /// Software and hardware that affect the bits of the results.
    pub(crate) environment: Environment,
    /// Inputs and outputs of the network. Checkpoints of versions before 0.2 do not contain them.
    #[serde(default)]
    pub(crate) interface: Option<Interface>,
    /// SHA-256 of the data and the other files that the run reads, except plugins, by their names in
    /// messages.
    pub(crate) inputs: BTreeMap<String, String>,
}

/// The state of a controller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ControllerState {
    /// Id of the controller.
    pub(crate) id: String,
    /// State as the controller returned it.
    pub(crate) state: Value,
}

/// Position of a run in its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Position {
    /// The epoch in training, counted from 1; 0 before the preinstalled seeds of the start have germinated.
    pub(crate) epoch: u32,
    /// Number of samples of the epoch that were trained on; 0 if it has not begun.
    pub(crate) samples: i64,
    /// Multiply-adds of a forward, per sample, at the beginning of the epoch.
    pub(crate) multiply_adds: u64,
}

impl Position {
    /// Position of a new run.
    pub(crate) const START: Self = Self { epoch: 0, samples: 0, multiply_adds: 0 };

    /// Returns the position before the first step of an epoch.
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
    /// Why the build was trusted.
    pub(crate) trust: Trust,
    /// Whether later germinations use this build. If not, only living entries do.
    pub(crate) current: bool,
    /// Whether the run has used an entry of the build, so that a copy is stored.
    pub(crate) used: bool,
}
