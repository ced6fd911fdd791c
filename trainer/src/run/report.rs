//! Rows of the journals, made of what the model reports.

use kasmina::graft::SeedSlot;
use kasmina::model::{Executed, SlotInputs};
use kasmina::{Command, CommandError, SlotReport};
use kasmina_records::{CommandRow, ErrorRow, SlotInfo, SlotRow};
use std::collections::BTreeMap;

/// A slot of the run's model, as written to `slots.json`.
pub(super) fn slot_info(slot: &SeedSlot) -> SlotInfo {
    let spec = slot.spec();
    SlotInfo {
        slot: spec.name.clone(),
        aliases: spec.aliases.clone(),
        topology: spec.topology.as_str().to_owned(),
        channels: spec.channels,
        shape: slot.features().shape.clone(),
    }
}

/// The slots of an epoch: as they were measured, and after its decisions.
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

/// A command with what came of it.
pub(super) fn command_row(
    epoch: u32,
    command: Command,
    slot_id: Option<String>,
    landed: bool,
    result: Result<Executed, CommandError>,
) -> CommandRow {
    let accepted = result.is_ok();
    let (did, error) = match result {
        Ok(did) => (Some(did), None),
        Err(e) => (None, Some(ErrorRow { code: e.code().to_owned(), message: e.to_string() })),
    };
    CommandRow { epoch, command, slot_id, landed, accepted, did, error }
}
