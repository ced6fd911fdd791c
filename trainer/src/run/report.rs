//! The lines of `metrics.jsonl` and `commands.jsonl`.

use crate::signals::Reward;
use kasmina::graft::SeedSlot;
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
    /// Multiply-adds of all training steps so far.
    #[serde(default)]
    pub training_multiply_adds: f64,
    /// By slot.
    pub slots: BTreeMap<String, SlotRow>,
    /// What the epoch was worth to a learned controller.
    #[serde(default)]
    pub reward: Reward,
    /// What plugins have recorded, by `plugin/name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugin_metrics: BTreeMap<String, f64>,
}

/// A slot of the run's model, as written to `slots.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotInfo {
    /// Its own name.
    pub slot: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// What flows there.
    pub topology: String,
    /// How wide it is there.
    pub channels: i64,
    /// The shape of one sample's features there.
    pub shape: Vec<i64>,
}

impl SlotInfo {
    pub(super) fn of(slot: &SeedSlot) -> Self {
        let spec = slot.spec();
        Self {
            slot: spec.name.clone(),
            aliases: spec.aliases.clone(),
            topology: spec.topology.as_str().to_owned(),
            channels: spec.channels,
            shape: slot.features().shape.clone(),
        }
    }
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandRow {
    /// At the end of this epoch.
    pub epoch: u32,
    /// What was asked.
    #[serde(flatten)]
    pub command: Command,
    /// The own name of the slot that it concerns, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot_id: Option<String>,
    /// Whether this is no wish: the landing of a germination that was made ready ahead, or what the configuration plants.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub landed: bool,
    /// Whether it was granted.
    pub accepted: bool,
    /// What it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub did: Option<Executed>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorRow>,
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorRow {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
}

impl CommandRow {
    pub(super) fn new(
        epoch: u32,
        command: Command,
        slot_id: Option<String>,
        landed: bool,
        result: Result<Executed, CommandError>,
    ) -> Self {
        let accepted = result.is_ok();
        let (did, error) = match result {
            Ok(did) => (Some(did), None),
            Err(e) => (None, Some(ErrorRow { code: e.code().to_owned(), message: e.to_string() })),
        };
        Self { epoch, command, slot_id, landed, accepted, did, error }
    }
}
