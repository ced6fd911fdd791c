//! Rows of the journals, made from the reports of the model.

use kasmina::graft::SeedSlot;
use kasmina::model::{Executed, SlotInputs};
use kasmina::{Command, CommandError, SlotReport};
use kasmina_records::{CommandRow, ErrorRow, SlotInfo, SlotRow};
use std::collections::BTreeMap;

/// Returns the description of a slot for `slots.json`.
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

/// Returns the rows of the slots for an epoch, from the reports before and after its decisions.
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

/// Returns the row of a command with its result.
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
