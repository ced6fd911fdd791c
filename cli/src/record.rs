//! `kasmina replay` and `kasmina explain`.

use crate::args::{ExplainArgs, ReplayArgs};
use crate::failure::Failure;
use crate::terminal;
use kasmina_trainer::record::{Explanation, Finding, Record, Replay, explain, gates_from_file, replay};
use std::process::ExitCode;

/// Repeats the decisions of a recorded run. With the run's own thresholds, a decision that differs from the
/// record is a failure; with other thresholds, such differences are the result.
pub(crate) fn run_replay(args: &ReplayArgs) -> Result<ExitCode, Failure> {
    let record = Record::read(&args.run)?;
    let gates = args
        .gates
        .as_deref()
        .map(|file| gates_from_file(file, &record.config.lifecycle.gates))
        .transpose()?;
    let replay = replay(&record, gates.as_ref());
    if args.json {
        terminal::out_json(&replay)?;
    } else {
        print_replay(&replay, gates.is_some());
        if let Some(unfinished) = &record.unfinished {
            outln!();
            outln!("{unfinished}");
        }
        if record.config.lifecycle.permissive {
            outln!();
            outln!("The run is permissive: its gates check no thresholds.");
        }
    }
    let contradicted = gates.is_none() && replay.slots.iter().any(|s| s.divergence.is_some());
    if contradicted {
        errln!("the record contradicts itself: its inputs do not lead to its decisions");
    }
    Ok(if contradicted { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print_replay(replay: &Replay, other_gates: bool) {
    let with = if other_gates { "with the given thresholds" } else { "with the run's own thresholds" };
    outln!("{} epochs replayed {with}", replay.epochs);
    if replay.slots.is_empty() {
        outln!("the run had no slots: nothing was decided");
    }
    for slot in &replay.slots {
        outln!();
        let Some(divergence) = &slot.divergence else {
            outln!("{}: all {} decisions come out as recorded", slot.slot, slot.agreed);
            continue;
        };
        outln!(
            "{}: {} decisions come out as recorded, until epoch {}{}",
            slot.slot,
            slot.agreed,
            divergence.epoch,
            divergence.seed_id.as_ref().map_or_else(String::new, |seed| format!(" (seed {seed})"))
        );
        let or_nothing = |all: &[String]| if all.is_empty() { "nothing".to_owned() } else { all.join("; ") };
        outln!("  recorded  {}", or_nothing(&divergence.recorded));
        outln!("  now       {}", or_nothing(&divergence.replayed));
        print_findings(&divergence.findings);
    }
}

pub(crate) fn run_explain(args: &ExplainArgs) -> Result<(), Failure> {
    let record = Record::read(&args.run)?;
    let slots = match &args.slot {
        Some(name) => vec![record.slot(name)?],
        None => record.slots.iter().collect(),
    };
    let explained: Vec<Explanation> = slots.into_iter().map(|slot| explain(&record, slot)).collect();
    if args.json {
        terminal::out_json(&explained)?;
        return Ok(());
    }
    if explained.is_empty() {
        outln!("The run had no slots (seeds were disabled, or no slots were configured).");
    }
    for (index, slot) in explained.iter().enumerate() {
        if index > 0 {
            outln!();
        }
        print_explanation(slot);
    }
    Ok(())
}

fn print_explanation(slot: &Explanation) {
    let aliases =
        if slot.aliases.is_empty() { String::new() } else { format!(" ({})", slot.aliases.join(", ")) };
    let since = slot.since_epoch.map_or_else(String::new, |epoch| format!(" since epoch {epoch}"));
    outln!("{}{aliases}: {}{since}", slot.slot, slot.stage);
    if let (Some(seed), Some(blueprint)) = (&slot.seed_id, &slot.blueprint) {
        outln!("  seed       {seed} ({blueprint})");
    }
    for sentence in &slot.sentences {
        outln!("  {sentence}");
    }
    if let Some(gate) = &slot.last_gate {
        outln!("  last gate  {} for {} at epoch {}: {}", gate.gate, gate.target, gate.epoch, gate.message);
    }
    print_findings(&slot.findings);
}

fn print_findings(findings: &[Finding]) {
    for finding in findings {
        outln!("  {}: {}", finding.check, finding.found);
        outln!("    help: {} (docs/troubleshooting.md#{})", finding.remedy, finding.check);
    }
}
