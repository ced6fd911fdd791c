//! Replaying the decisions of a recorded run, with the recorded measurements and commands and possibly other
//! thresholds.

use super::findings::{Finding, finding};
use super::{EventLine, Record};
use crate::run::{CommandRow, EpochReport, SlotInfo};
use kasmina::Command;
use kasmina::lifecycle::{Event, EventKind, Lifecycle, Operation, QualityGates, RefusalCode, Stage};
use kasmina::model::Executed;
use kasmina_plugin_api::Topology;
use serde::Serialize;

/// Result of a replay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replay {
    /// Number of replayed epochs.
    pub epochs: u32,
    /// Thresholds of the replay.
    pub gates: QualityGates,
    /// Results by slot.
    pub slots: Vec<SlotReplay>,
}

/// Result of a replay in one slot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SlotReplay {
    /// Name of the slot.
    pub slot: String,
    /// Number of decisions that agree with the record: gates, stage changes, germinations, prunes.
    pub agreed: u32,
    /// First decision that differs from the record. Later epochs are not compared, because the recorded
    /// measurements would not have been made.
    pub divergence: Option<Divergence>,
}

/// The first epoch in which the decisions of the replay differ from the record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Divergence {
    /// Epoch at whose end the decisions differ.
    pub epoch: u32,
    /// Id of the seed.
    pub seed_id: Option<String>,
    /// Recorded decisions of that epoch, from the first difference on.
    pub recorded: Vec<String>,
    /// Replayed decisions of that epoch, from the first difference on.
    pub replayed: Vec<String>,
    /// Checks that fail in the replay, with their numbers; empty if the gate passes.
    pub findings: Vec<Finding>,
}

/// Replays the decisions of a recorded run, with its own thresholds or with `gates`.
pub fn replay(record: &Record, gates: Option<&QualityGates>) -> Replay {
    let gates = gates.unwrap_or(&record.config.lifecycle.gates).clone();
    let walked = record.slots.iter().map(|slot| {
        let mut walk = Walk::new(record, slot, gates.clone());
        let epochs = record.epochs.iter();
        let divergence = epochs.map(|report| walk.epoch(report)).find_map(Result::err);
        SlotReplay { slot: slot.slot.clone(), agreed: walk.agreed, divergence }
    });
    let slots = walked.collect();
    Replay { epochs: record.epochs.len() as u32, gates, slots }
}

/// The replay of one slot, epoch by epoch.
pub(super) struct Walk<'r> {
    record: &'r Record,
    slot: &'r SlotInfo,
    pub(super) lifecycle: Lifecycle,
    /// The slot just before its last seed left.
    pub(super) left: Option<Lifecycle>,
    agreed: u32,
}

impl<'r> Walk<'r> {
    pub(super) fn new(record: &'r Record, slot: &'r SlotInfo, gates: QualityGates) -> Self {
        let mut settings = record.config.effective_lifecycle();
        settings.gates = gates;
        let lifecycle = Lifecycle::new(slot.slot.clone(), Topology::from_name(&slot.topology), settings)
            .with_stage_events_only(record.config.fast_mode);
        let mut walk = Self { record, slot, lifecycle, left: None, agreed: 0 };
        // The seeds that were preinstalled before the first epoch.
        let first: Vec<Operation> = walk.commands(0).collect();
        for operation in first {
            let _ = operation.apply(&mut walk.lifecycle);
        }
        walk.lifecycle.drain_events();
        walk
    }

    fn commands(&self, epoch: u32) -> impl Iterator<Item = Operation> + use<'r> {
        let slot = self.slot;
        let here =
            move |c: &&CommandRow| c.epoch == epoch && c.slot_id.as_ref().is_some_and(|s| *s == slot.slot);
        self.record.commands.iter().filter(here).filter_map(operation)
    }

    /// Applies the recorded measurements and commands of an epoch, and compares the decisions.
    pub(super) fn epoch(&mut self, report: &EpochReport) -> Result<(), Divergence> {
        let seed_before = self.lifecycle.seed().map(|s| s.seed_id.clone());
        let inputs = report.slots.get(&self.slot.slot).map(|row| row.inputs.clone()).unwrap_or_default();
        for operation in inputs.during() {
            let _ = operation.apply(&mut self.lifecycle);
        }
        let mut operations = inputs.operations(report.val_accuracy, self.lifecycle.stage().is_active());
        operations.push(Operation::StepEpoch);
        operations.extend(self.commands(report.epoch));
        let (mut events, mut reasons) = (Vec::new(), Vec::new());
        for operation in operations {
            let before = self.lifecycle.clone();
            // A refused command still emits the event of its gate, and the events are what is compared.
            let _ = operation.apply(&mut self.lifecycle);
            let now = self.lifecycle.drain_events();
            if before.living().is_some() && self.lifecycle.living().is_none() {
                self.left = Some(before.clone());
            }
            let failed = now.iter().find_map(|event| match &event.kind {
                EventKind::SeedGateEvaluated { checks_failed, .. } if !checks_failed.is_empty() => {
                    Some(checks_failed)
                }
                _ => None,
            });
            if let Some(failed) = failed.filter(|_| reasons.is_empty()) {
                reasons = failed.iter().map(|check| finding(*check, &before)).collect();
            }
            events.extend(now);
        }

        let replayed = decisions(&events);
        let here = |e: &&EventLine| e.epoch == report.epoch && e.event.slot_id == self.slot.slot;
        let recorded: Vec<Event> = self.record.events.iter().filter(here).map(|e| e.event.clone()).collect();
        let recorded = decisions(&recorded);
        let same = recorded.iter().zip(&replayed).take_while(|(a, b)| a.key == b.key).count();
        self.agreed += same as u32;
        if recorded.len() == same && replayed.len() == same {
            return Ok(());
        }
        let rest =
            |all: Vec<Decision>| -> Vec<String> { all.into_iter().skip(same).map(|d| d.text).collect() };
        Err(Divergence {
            epoch: report.epoch,
            seed_id: self.lifecycle.seed().map(|s| s.seed_id.clone()).or(seed_before),
            recorded: rest(recorded),
            replayed: rest(replayed),
            findings: reasons,
        })
    }
}

/// Returns the operation of a recorded command on the lifecycle of its slot. A refused command changed
/// nothing and is skipped, except for an advance that a gate refused: it emitted an event, and may pass with
/// other thresholds.
fn operation(row: &CommandRow) -> Option<Operation> {
    if let Command::Advance { target, .. } = &row.command {
        let refused_elsewhere =
            row.error.as_ref().is_some_and(|e| e.code != RefusalCode::GateFailed.as_str());
        return (!refused_elsewhere).then_some(Operation::Advance { target: *target });
    }
    if !row.accepted {
        return None;
    }
    let curve = match &row.did {
        Some(Executed::Retargeted { curve } | Executed::PruneScheduled { curve }) => curve.clone(),
        _ => None,
    };
    match (&row.command, &row.did) {
        (Command::Germinate(_), Some(Executed::Germinated(germinated))) => {
            Some(Operation::Germinate(germinated.clone()))
        }
        (Command::Prune { reason, .. }, _) => Some(Operation::Prune { reason: reason.clone() }),
        (Command::SchedulePrune { steps, reason, .. }, _) => {
            Some(Operation::SchedulePrune { steps: *steps, reason: reason.clone(), curve })
        }
        (Command::SetAlphaTarget { target, steps, curve: requested, .. }, _) => {
            let curve = requested.clone().or(curve);
            Some(Operation::SetAlphaTarget { target: *target, steps: *steps, curve })
        }
        _ => None,
    }
}

/// A decision in a slot.
struct Decision {
    /// The part that is compared.
    key: String,
    /// Text for messages.
    text: String,
}

/// Returns the decisions among some events.
fn decisions(events: &[Event]) -> Vec<Decision> {
    let plain = |key: String| Decision { text: key.clone(), key };
    let arrow = |from: &Stage, to: &Stage| plain(format!("{from} -> {to}"));
    let decision = |event: &Event| match &event.kind {
        EventKind::SeedGerminated { .. } => {
            Some(plain(format!("germinated {}", event.seed_id.as_deref().unwrap_or_default())))
        }
        EventKind::SeedGateEvaluated { gate, target, passed, message, .. } => {
            Some(Decision { key: format!("{gate} {target} {passed}"), text: message.clone() })
        }
        EventKind::SeedStageChanged { from, to, .. } => Some(arrow(from, to)),
        EventKind::SeedPruned { reason, .. } => Some(plain(format!("pruned ({reason})"))),
        _ => None,
    };
    events.iter().filter_map(decision).collect()
}
