//! Explanations of a recorded slot: its stage, how it got there, and what keeps it from the next stage.

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
    /// Epoch at whose end the slot entered this stage; `None` if it never changed its stage.
    pub since_epoch: Option<u32>,
    /// Id of the slot's seed, or of its last seed.
    pub seed_id: Option<String>,
    /// Id of that seed's blueprint.
    pub blueprint: Option<String>,
    /// Explanation in sentences, for people.
    pub sentences: Vec<String>,
    /// Last evaluation of a gate for that seed.
    pub last_gate: Option<LastGate>,
    /// Failing checks that keep the seed from its next stage, or kept the last seed from it.
    pub findings: Vec<Finding>,
}

/// The evaluation of a gate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LastGate {
    /// Epoch at whose end the gate was evaluated.
    pub epoch: u32,
    /// Gate that was evaluated.
    pub gate: Gate,
    /// Stage that the gate stands before.
    pub target: Stage,
    /// Whether the gate passed.
    pub passed: bool,
    /// Checks that failed.
    pub checks_failed: Vec<Check>,
    /// Message of the gate.
    pub message: String,
}

/// Explains one slot, from the record of its run.
pub fn explain(record: &Record, slot: &SlotInfo) -> Explanation {
    let gates = record.config.lifecycle.gates.clone();
    let mut walk = Walk::new(record, slot, gates);
    let divergence = record.epochs.iter().map(|report| walk.epoch(report)).find_map(Result::err);
    let lifecycle = &walk.lifecycle;
    let of_slot = |e: &&EventLine| e.event.slot_id == slot.slot;
    let events: Vec<&EventLine> = record.events.iter().filter(of_slot).collect();
    // The events of the newest seed, beginning with its germination.
    let germination = |line: &&EventLine| matches!(line.event.kind, EventKind::SeedGerminated { .. });
    let of_seed =
        events.iter().rposition(germination).and_then(|first| events.get(first..)).unwrap_or_default();
    let last_gate = of_seed.iter().rev().find_map(|line| match &line.event.kind {
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
    let germinated = of_seed.first().and_then(|line| match &line.event.kind {
        EventKind::SeedGerminated { blueprint_id, .. } => Some((line, blueprint_id.clone())),
        _ => None,
    });
    let findings = match (lifecycle.living(), &walk.left) {
        (Some(_), _) => findings(lifecycle),
        // For a seed that has left, checks that time alone would have met are of no interest.
        (None, Some(left)) => findings(left).into_iter().filter(|f| !f.check.is_a_matter_of_time()).collect(),
        (None, None) => Vec::new(),
    };
    let mut sentences = if let Some(seed) = lifecycle.seed() {
        describe_seed(lifecycle, seed, record)
    } else {
        let last_germination = germinated.as_ref().map(|(line, _)| line.epoch);
        describe_empty(&events, refused_since(record, slot, last_germination))
    };
    sentences.extend(record.unfinished.clone());
    if let Some(divergence) = divergence {
        sentences.push(format!(
            "The record contradicts itself from epoch {} on: its inputs do not lead to its decisions.",
            divergence.epoch
        ));
    }
    Explanation {
        slot: slot.slot.clone(),
        aliases: slot.aliases.clone(),
        stage: lifecycle.stage(),
        since_epoch,
        seed_id: germinated.as_ref().and_then(|(line, _)| line.event.seed_id.clone()),
        blueprint: germinated.map(|(_, blueprint)| blueprint),
        sentences,
        last_gate,
        findings,
    }
}

/// Returns sentences on the seed in a slot.
fn describe_seed(slot: &Lifecycle, seed: &SeedState, record: &Record) -> Vec<String> {
    let settings = slot.settings();
    let mut sentences = Vec::new();
    if let Some(reason) = &seed.scheduled_prune {
        let (done, total) = seed.alpha.ticks();
        sentences.push(format!("It is being pruned ({reason}): {done} of {total} ticks are done."));
        return sentences;
    }
    sentences.push(match seed.stage {
        Stage::Germinated => "It was built and probed, and waits for its first epoch.".to_owned(),
        Stage::Training => format!(
            "It learns behind the straight-through estimator without changing the host's output. {} so far.",
            epochs(seed.epochs_in_stage)
        ),
        Stage::Blending => format!(
            "It is being blended in: alpha is {:.3}, the target {:.3}.",
            seed.alpha.alpha(),
            seed.alpha.target()
        ),
        Stage::Shadowing => "It is compared with its host at its present alpha.".to_owned(),
        Stage::Holding => {
            let timeout = settings.effective_holding_timeout();
            let left = timeout.saturating_sub(seed.epochs_in_stage);
            let worth = match seed.metrics.counterfactual_contribution {
                Some(worth) => format!("switching it off costs {:+.2} points", worth.get()),
                None => "its contribution was not measured in this stage yet".to_owned(),
            };
            format!(
                "It waits for a decision: {worth}. Without one, it is pruned in {} (holding_timeout).",
                epochs(left)
            )
        }
        Stage::Fossilized => "It is part of the network permanently: no stage follows FOSSILIZED.".to_owned(),
        Stage::Embargoed => format!(
            "The slot is in its cooldown after a prune: {} of {} epochs.",
            seed.epochs_in_stage, settings.cooldown_epochs
        ),
        Stage::Resetting => "The slot is in the last epoch of its cooldown and then free.".to_owned(),
        Stage::Unknown | Stage::Dormant | Stage::Pruned => "The slot has no seed.".to_owned(),
    });
    if let Some((gate, to)) = slot.next_gate() {
        if gate != Gate::G5 && !settings.auto_advance.contains(&gate) {
            sentences.push(format!("{gate} is not in auto_advance: {to} needs an advance command."));
        } else if gate == Gate::G5 {
            sentences.push("FOSSILIZED always needs an advance command.".to_owned());
        }
    }
    if record.config.fast_mode {
        sentences.push("The run was in fast_mode: no gradients and no health were measured.".to_owned());
    }
    sentences
}

/// Returns a number of epochs with its unit.
fn epochs(n: u32) -> String {
    if n == 1 { "1 epoch".to_owned() } else { format!("{n} epochs") }
}

/// Returns sentences on an empty slot: that it was never used, or why its last seed left.
fn describe_empty(events: &[&EventLine], refused: Option<String>) -> Vec<String> {
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
    let unused = || "The slot is empty; no seed has ever germinated in it.".to_owned();
    let mut sentences = vec![last.unwrap_or_else(unused)];
    sentences.extend(refused);
    sentences
}

/// Returns a sentence on the newest refusal of a germination, if there is one after the last germination.
fn refused_since(record: &Record, slot: &SlotInfo, last_germination: Option<u32>) -> Option<String> {
    let here = |row: &&CommandRow| {
        matches!(row.command, Command::Germinate(_)) && row.slot_id.as_ref().is_some_and(|s| *s == slot.slot)
    };
    let row = record
        .commands
        .iter()
        .rev()
        .find(here)
        .filter(|row| last_germination.is_none_or(|epoch| row.epoch > epoch))?;
    let error = row.error.as_ref()?;
    Some(format!("A germination was refused at epoch {}: {}: {}.", row.epoch, error.code, error.message))
}
