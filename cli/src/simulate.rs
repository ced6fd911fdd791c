//! `kasmina simulate`.

use crate::args::SimulateArgs;
use crate::failure::Failure;
use crate::{table, terminal};
use kasmina::lifecycle::script::{Line, Script};
use kasmina::lifecycle::{AlphaMode, EventKind};
use kasmina_files::{limit, read_text};

pub(crate) fn run(args: &SimulateArgs) -> Result<(), Failure> {
    let path = args.script.display();
    let text = read_text(&args.script, limit::CONFIG).map_err(|e| {
        Failure::new(format!("{path}: {e}")).with_help("pass a script; examples/scripts contains some")
    })?;
    let script: Script = text.parse().map_err(|e| {
        Failure::new(format!("{path}: {e}")).with_help("compare it with the scripts in examples/scripts")
    })?;
    if args.json {
        for line in script.run() {
            terminal::out_json_line(&line)?;
        }
    } else {
        print(script.run());
    }
    Ok(())
}

fn print(lines: impl Iterator<Item = Line>) {
    let header = ["", "OPERATION", "STAGE", "ALPHA", "EPOCHS (OF ALL)", "WHAT HAPPENED"];
    let mut rows = table::table(&header, &[""]);
    for line in lines {
        let (stage, alpha, epochs) = match &line.state {
            None => ("DORMANT".to_owned(), String::new(), String::new()),
            Some(state) => (
                state.stage.to_string(),
                match state.alpha_mode {
                    AlphaMode::Hold => format!("{:.4}", state.alpha),
                    // Alpha moves towards its target.
                    _ => format!("{:.4} > {}", state.alpha, state.alpha_target),
                },
                format!("{} ({})", state.epochs_in_stage, state.epochs_total),
            ),
        };
        let mut happened: Vec<String> =
            line.events.iter().filter_map(|event| describe(&event.kind)).collect();
        if let Some(state) = line.state.as_ref().filter(|_| line.ok && line.op == "schedule_prune") {
            happened
                .extend(state.scheduled_prune.as_ref().map(|reason| format!("prune scheduled ({reason})")));
        }
        happened.extend(line.error.map(|refusal| format!("REFUSED: {refusal}")));
        rows.add_row([line.index.to_string(), line.op, stage, alpha, epochs, happened.join("; ")]);
    }
    table::print(&rows);
}

fn describe(event: &EventKind) -> Option<String> {
    match event {
        EventKind::SeedGerminated { blueprint_id, blend, .. } => {
            Some(format!("germinated {blueprint_id} with {blend}"))
        }
        EventKind::SeedGateEvaluated { message, .. } => Some(message.clone()),
        EventKind::SeedStageChanged { from, to, .. } => Some(format!("{from} -> {to}")),
        EventKind::SeedPruned { reason, .. } => Some(format!("pruned ({reason})")),
        EventKind::SeedFossilized { .. } => Some("fossilized".to_owned()),
        EventKind::SeedHealth { healthy, cause } => {
            Some(format!("{} ({cause})", if *healthy { "healthy" } else { "unhealthy" }))
        }
        _ => None,
    }
}
