//! Why a slot is where it is, in plain words.

use super::findings::{Finding, findings};
use super::replay::Walk;
use super::{EventLine, Record};
use crate::run::{CommandRow, SlotInfo};
use kasmina::Command;
use kasmina::lifecycle::{Check, EventKind, Gate, Lifecycle, SeedState, Stage};
use serde::Serialize;

/// Explanation of what happened in one slot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Name of the slot.
    pub slot: String,
    /// Other names of the slot.
    pub aliases: Vec<String>,
    /// Stage at the end of the run.
    pub stage: Stage,
    /// Since the end of this epoch; `None` if it never moved.
    pub since_epoch: Option<u32>,
    /// The seed that lives there, or the last one that did.
    pub seed_id: Option<String>,
    /// What that seed was built from.
    pub blueprint: Option<String>,
    /// Explanation in sentences, for people.
    pub sentences: Vec<String>,
    /// The newest gate that was asked.
    pub last_gate: Option<LastGate>,
    /// What keeps its seed from the next stage now, or kept its last seed from it.
    pub findings: Vec<Finding>,
}

/// A gate that was asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LastGate {
    /// At the end of this epoch.
    pub epoch: u32,
    /// Gate that was evaluated.
    pub gate: Gate,
    /// Stage that the gate stands before.
    pub target: Stage,
    /// Whether the gate passed.
    pub passed: bool,
    /// What was not in order.
    pub checks_failed: Vec<Check>,
    /// Message of the gate.
    pub message: String,
}

/// Explains one slot, from the record of its run.
pub fn explain(record: &Record, slot: &SlotInfo) -> Explanation {
    let gates = record.config.lifecycle.gates.clone();
    let mut walk = Walk::new(record, slot, gates);
    let parted = record.epochs.iter().map(|report| walk.epoch(report)).find_map(Result::err);
    let lifecycle = &walk.lifecycle;
    let mine = |e: &&EventLine| e.event.slot_id == slot.slot;
    let events: Vec<&EventLine> = record.events.iter().filter(mine).collect();
    // The events of its newest seed, from its germination on.
    let birth = |line: &&EventLine| matches!(line.event.kind, EventKind::SeedGerminated { .. });
    let own = events.iter().rposition(birth).and_then(|born| events.get(born..)).unwrap_or_default();
    let last_gate = own.iter().rev().find_map(|line| match &line.event.kind {
        EventKind::SeedGateEvaluated { gate, target, passed, checks_failed, message, .. } => Some(LastGate {
            epoch: line.epoch,
            gate: *gate,
            target: *target,
            passed: *passed,
            checks_failed: checks_failed.clone(),
            message: message.clone(),
        }),
        _ => None,
    });
    let since_epoch = events.iter().rev().find_map(|line| match &line.event.kind {
        EventKind::SeedStageChanged { .. } | EventKind::SeedGerminated { .. } => Some(line.epoch),
        _ => None,
    });
    let born = own.first().and_then(|line| match &line.event.kind {
        EventKind::SeedGerminated { blueprint_id, .. } => Some((line, blueprint_id.clone())),
        _ => None,
    });
    let findings = match (lifecycle.living(), &walk.left) {
        (Some(_), _) => findings(lifecycle),
        // Of a seed that left, what kept it from going on; not what it only had yet to wait for.
        (None, Some(left)) => findings(left).into_iter().filter(|f| !f.check.is_a_matter_of_time()).collect(),
        (None, None) => Vec::new(),
    };
    let mut sentences = match lifecycle.seed() {
        Some(seed) => living(lifecycle, seed, record),
        None => gone(&events, refused_since(record, slot, born.as_ref().map(|(line, _)| line.epoch))),
    };
    sentences.extend(record.unfinished.clone());
    if let Some(parted) = parted {
        sentences.push(format!(
            "The record contradicts itself from epoch {} on: its inputs do not give its decisions.",
            parted.epoch
        ));
    }
    Explanation {
        slot: slot.slot.clone(),
        aliases: slot.aliases.clone(),
        stage: lifecycle.stage(),
        since_epoch,
        seed_id: born.as_ref().and_then(|(line, _)| line.event.seed_id.clone()),
        blueprint: born.map(|(_, blueprint)| blueprint),
        sentences,
        last_gate,
        findings,
    }
}

fn living(slot: &Lifecycle, seed: &SeedState, record: &Record) -> Vec<String> {
    let settings = slot.settings();
    let mut said = Vec::new();
    if let Some(reason) = &seed.scheduled_prune {
        let (done, total) = seed.alpha.ticks();
        said.push(format!("It is on its way out ({reason}): {done} of {total} ticks are done."));
        return said;
    }
    said.push(match seed.stage {
        Stage::Germinated => "It was built and probed, and waits for its first epoch.".to_owned(),
        Stage::Training => format!(
            "It learns behind the straight-through estimator; the host's output is its own. {} so far.",
            epochs(seed.epochs_in_stage)
        ),
        Stage::Blending => format!(
            "It is being blended in: alpha {:.3} on its way to {:.3}.",
            seed.alpha.alpha(),
            seed.alpha.target()
        ),
        Stage::Shadowing => "It is compared with its host at its alpha.".to_owned(),
        Stage::Holding => {
            let timeout = settings.effective_holding_timeout();
            let left = timeout.saturating_sub(seed.epochs_in_stage);
            let worth = match seed.metrics.counterfactual_contribution {
                Some(worth) => format!("switching it off costs {:+.2} points", worth.get()),
                None => "what it is worth was not measured in this stage yet".to_owned(),
            };
            format!(
                "It waits for a decision: {worth}. Undecided, it is pruned in {} (holding_timeout).",
                epochs(left)
            )
        }
        Stage::Fossilized => {
            "It is part of the network for good. Nothing leads out of FOSSILIZED.".to_owned()
        }
        Stage::Embargoed => format!(
            "The slot rests after a prune: {} of {} epochs.",
            seed.epochs_in_stage, settings.cooldown_epochs
        ),
        Stage::Resetting => "The last epoch of the slot's rest; then it is free.".to_owned(),
        Stage::Unknown | Stage::Dormant | Stage::Pruned => "No seed lives here.".to_owned(),
    });
    if let Some((gate, to)) = slot.next_gate() {
        if gate != Gate::G5 && !settings.auto_advance.contains(&gate) {
            said.push(format!("{gate} is not in auto_advance: only an advance command asks it for {to}."));
        } else if gate == Gate::G5 {
            said.push("FOSSILIZED always needs an advance command.".to_owned());
        }
    }
    if record.config.fast_mode {
        said.push("The run was in fast_mode: no gradients and no health were measured.".to_owned());
    }
    said
}

/// A number of epochs in words.
fn epochs(n: u32) -> String {
    if n == 1 { "1 epoch".to_owned() } else { format!("{n} epochs") }
}

/// An empty slot: never used, or why its last seed left.
fn gone(events: &[&EventLine], refused: Option<String>) -> Vec<String> {
    let last = events.iter().rev().find_map(|line| match &line.event.kind {
        EventKind::SeedPruned { reason, initiator, counterfactual, epochs_total, .. } => {
            let who = match initiator {
                kasmina::lifecycle::Initiator::Auto => "the rules of HOLDING",
                kasmina::lifecycle::Initiator::Policy => "a command",
                kasmina::lifecycle::Initiator::Governor => "the training loop",
            };
            let worth = counterfactual
                .map_or_else(String::new, |c| format!("; switching it off cost {c:+.2} points"));
            Some(format!(
                "The slot is empty. Its last seed was pruned at epoch {} by {who} ({reason}) after {epochs_total} epochs{worth}.",
                line.epoch
            ))
        }
        _ => None,
    });
    let nothing = || "The slot is empty; no seed was ever put into it.".to_owned();
    let mut said = vec![last.unwrap_or_else(nothing)];
    said.extend(refused);
    said
}

/// The newest refusal of a germination, if no seed has germinated since.
fn refused_since(record: &Record, slot: &SlotInfo, born: Option<u32>) -> Option<String> {
    let here = |row: &&CommandRow| {
        matches!(row.command, Command::Germinate(_)) && row.slot_id.as_ref().is_some_and(|s| *s == slot.slot)
    };
    let row =
        record.commands.iter().rev().find(here).filter(|row| born.is_none_or(|born| row.epoch > born))?;
    let error = row.error.as_ref()?;
    Some(format!("A germination was refused at epoch {}: {}: {}.", row.epoch, error.code, error.message))
}
