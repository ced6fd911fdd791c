//! The lines of `metrics.jsonl` and `commands.jsonl`.

use kasmina::lifecycle::{Stage, any_number};
use kasmina::model::{Executed, SlotInputs};
use kasmina::{Command, CommandError, SlotReport};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One epoch, as written to `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// Counted from 1.
    pub epoch: u32,
    /// Mean over the epoch's samples.
    #[serde(with = "any_number")]
    pub train_loss: f64,
    /// Mean over the validation samples.
    #[serde(with = "any_number")]
    pub val_loss: f64,
    /// Percent.
    pub val_accuracy: f64,
    /// Training, validation and decisions.
    pub seconds: f64,
    /// By slot.
    pub slots: BTreeMap<String, SlotRow>,
    /// What plugins have recorded, by `plugin/name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugin_metrics: BTreeMap<String, f64>,
}

/// One slot in one epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlotRow {
    /// After this epoch's decisions.
    pub stage: Stage,
    /// After this epoch's decisions.
    pub alpha: f64,
    /// Measured in this epoch.
    pub contribution: Option<f64>,
    /// As the gates saw it in this epoch.
    pub gradient_ratio: Option<f64>,
    /// Everything that the lifecycle was given.
    pub inputs: SlotInputs,
}

pub(super) fn rows(
    measured: &[SlotReport],
    after: &[SlotReport],
    raw: &BTreeMap<String, SlotInputs>,
) -> BTreeMap<String, SlotRow> {
    let both = measured.iter().zip(after);
    both.map(|(measured, after)| {
        let inputs = raw.get(&measured.slot).cloned().unwrap_or_default();
        let row = SlotRow {
            stage: after.stage,
            alpha: after.alpha,
            contribution: inputs.contribution,
            gradient_ratio: measured.gradient_ratio,
            inputs,
        };
        (measured.slot.clone(), row)
    })
    .collect()
}

/// One command, as written to `commands.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct CommandRow {
    /// At the end of this epoch.
    epoch: u32,
    #[serde(flatten)]
    command: Command,
    accepted: bool,
    /// What it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    did: Option<Executed>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorRow>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct ErrorRow {
    code: &'static str,
    message: String,
}

impl CommandRow {
    pub(super) fn new(epoch: u32, command: Command, result: Result<Executed, CommandError>) -> Self {
        let accepted = result.is_ok();
        let (did, error) = match result {
            Ok(did) => (Some(did), None),
            Err(e) => (None, Some(ErrorRow { code: e.code(), message: e.to_string() })),
        };
        Self { epoch, command, accepted, did, error }
    }
}
