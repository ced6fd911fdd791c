//! Trains every blueprint on a task of its topology, with the default gates, and shows which are fossilized.
//! All should be, except for `noop`, which is the control.

use anyhow::{Context as _, Result};
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use kasmina_plugin_api::{Kind, Topology};
use kasmina_registry::{Entry, Registry};
use kasmina_trainer::{RunConfig, Summary, Trainer};
use std::sync::atomic::AtomicBool;

/// Most runs of a blueprint on a task, each with another run seed: whether a host comes to use a seed also
/// depends on chance.
const RUNS: u64 = 3;

/// Trains each blueprint whose full name contains `filter` on a task of each topology that it serves. Returns
/// a table with a row for each.
pub(crate) fn table(filter: &str) -> Result<Table> {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header([
        "blueprint",
        "task",
        "run",
        "germinated",
        "fossilized",
        "pruned",
        "best contribution",
        "accuracy",
    ]);
    let registry = kasmina_tests::registry(&[]);
    let blueprints =
        registry.entries().into_iter().filter(|e| e.kind() == Kind::Blueprint && !e.interprets());
    for entry in blueprints.filter(|e| e.full_name().contains(filter)) {
        for (topology, task) in [(Topology::CNN, "digits"), (Topology::TRANSFORMER, "addition")] {
            if !entry.serves(topology) {
                continue;
            }
            let summary = until_one_is_fossilized(&entry, task, &registry)?;
            let worth = best(&summary).map_or_else(|| "-".to_owned(), |worth| format!("{worth:+.2}"));
            let percent = summary.final_val_accuracy.unwrap_or(0.0);
            eprintln!("{} on {task}: {} fossilized", entry.full_name(), summary.fossilized);
            table.add_row([
                entry.full_name(),
                task.to_owned(),
                summary.seed.to_string(),
                summary.germinated.to_string(),
                summary.fossilized.to_string(),
                summary.pruned.to_string(),
                worth,
                format!("{percent:.2} %"),
            ]);
        }
    }
    Ok(table)
}

/// Returns the first run that fossilizes a seed, or the last of [`RUNS`].
fn until_one_is_fossilized(entry: &Entry, task: &str, registry: &Registry) -> Result<Summary> {
    let run = |seed: u64| -> Result<Summary> {
        let mut config = RunConfig::for_task(task)?;
        config.blueprint = entry.full_name();
        config.seed = seed;
        "cpu".clone_into(&mut config.device);
        let trainer = Trainer::prepare(config, registry).with_context(|| entry.full_name())?;
        Ok(trainer.run(None, &mut (), &AtomicBool::new(false))?)
    };
    let mut summary = run(1)?;
    for seed in 2..=RUNS {
        if summary.fossilized == 0 {
            summary = run(seed)?;
        }
    }
    Ok(summary)
}

/// Largest contribution of a fossilized seed, if one was measured.
fn best(summary: &Summary) -> Option<f64> {
    let fossils = summary.seeds.iter().filter(|seed| seed.fate == "fossilized");
    fossils.filter_map(|seed| seed.contribution).max_by(f64::total_cmp)
}
