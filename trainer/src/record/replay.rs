//! Deciding a recorded run again: the same measurements and commands, perhaps other thresholds.

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
    /// Epochs that were decided again.
    pub epochs: u32,
    /// The thresholds that it decided by.
    pub gates: QualityGates,
    /// Results by slot.
    pub slots: Vec<SlotReplay>,
}

/// What a replay found in one slot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SlotReplay {
    /// Name of the slot.
    pub slot: String,
    /// Decisions that came out as recorded: gates, stages, germinations, prunes.
    pub agreed: u32,
    /// Where the outcomes part for the first time. What comes after it is not judged: it would not have
    /// happened.
    pub divergence: Option<Divergence>,
}

/// The first epoch in which a slot decides otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Divergence {
    /// At the end of this epoch.
    pub epoch: u32,
    /// The seed that it concerns.
    pub seed_id: Option<String>,
    /// What was decided then, from the first difference on.
    pub recorded: Vec<String>,
    /// Decisions of the replay in that epoch.
    pub replayed: Vec<String>,
    /// Why: the checks that fail, with their numbers; empty where it passes now.
    pub findings: Vec<Finding>,
}

/// Decides a recorded run again, by its own thresholds or by others.
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

/// One slot, walked through the epochs of a record.
pub(super) struct Walk<'r> {
    record: &'r Record,
    slot: &'r SlotInfo,
    pub(super) lifecycle: Lifecycle,
    /// The slot as it was just before its last seed left.
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
        // What was put in before the first epoch.
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

    /// Tells the slot what it was told in an epoch, and compares what it decides.
    pub(super) fn epoch(&mut self, report: &EpochReport) -> Result<(), Divergence> {
        let seed_before = self.lifecycle.seed().map(|s| s.seed_id.clone());
        let inputs = report.slots.get(&self.slot.slot).map(|row| row.inputs.clone()).unwrap_or_default();
        for operation in inputs.during() {
            let _ = operation.apply(&mut self.lifecycle);
        }
        let mut told = inputs.operations(report.val_accuracy, self.lifecycle.stage().is_active());
        told.push(Operation::StepEpoch);
        told.extend(self.commands(report.epoch));
        let (mut events, mut reasons) = (Vec::new(), Vec::new());
        for operation in told {
            let before = self.lifecycle.clone();
            // A command that is refused leaves its gate's event; that is compared, not the refusal.
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
        let mine = |e: &&EventLine| e.epoch == report.epoch && e.event.slot_id == self.slot.slot;
        let recorded: Vec<Event> = self.record.events.iter().filter(mine).map(|e| e.event.clone()).collect();
        let recorded = decisions(&recorded);
        let same = recorded.iter().zip(&replayed).take_while(|(a, b)| a.what == b.what).count();
        self.agreed += same as u32;
        if recorded.len() == same && replayed.len() == same {
            return Ok(());
        }
        let rest =
            |all: Vec<Decision>| -> Vec<String> { all.into_iter().skip(same).map(|d| d.told).collect() };
        Err(Divergence {
            epoch: report.epoch,
            seed_id: self.lifecycle.seed().map(|s| s.seed_id.clone()).or(seed_before),
            recorded: rest(recorded),
            replayed: rest(replayed),
            findings: reasons,
        })
    }
}

/// What a journaled command asks of its slot's lifecycle. A refused one was refused before the lifecycle, or
/// would be refused by it again: it changed nothing. But an advance that a gate refused has an event to show,
/// and may pass now.
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
        (Command::Germinate(_), Some(Executed::Germinated(told))) => Some(Operation::Germinate(told.clone())),
        (Command::Prune { reason, .. }, _) => Some(Operation::Prune { reason: reason.clone() }),
        (Command::SchedulePrune { steps, reason, .. }, _) => {
            Some(Operation::SchedulePrune { steps: *steps, reason: reason.clone(), curve })
        }
        (Command::SetAlphaTarget { target, steps, curve: asked, .. }, _) => {
            let curve = asked.clone().or(curve);
            Some(Operation::SetAlphaTarget { target: *target, steps: *steps, curve })
        }
        _ => None,
    }
}

/// A decision as it is compared, and as it is told.
struct Decision {
    what: String,
    told: String,
}

fn decisions(events: &[Event]) -> Vec<Decision> {
    let plain = |what: String| Decision { told: what.clone(), what };
    let arrow = |from: &Stage, to: &Stage| plain(format!("{from} -> {to}"));
    let decision = |event: &Event| match &event.kind {
        EventKind::SeedGerminated { .. } => {
            Some(plain(format!("germinated {}", event.seed_id.as_deref().unwrap_or_default())))
        }
        EventKind::SeedGateEvaluated { gate, target, passed, message, .. } => {
            Some(Decision { what: format!("{gate} {target} {passed}"), told: message.clone() })
        }
        EventKind::SeedStageChanged { from, to, .. } => Some(arrow(from, to)),
        EventKind::SeedPruned { reason, .. } => Some(plain(format!("pruned ({reason})"))),
        _ => None,
    };
    events.iter().filter_map(decision).collect()
}
