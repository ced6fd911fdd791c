//! Can every blueprint be fossilized, by the gates as they are, on a task of its topology? The control cannot.

use anyhow::{Context as _, Result};
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use kasmina_plugin_api::{Kind, Topology};
use kasmina_registry::{Entry, INTERPRETER};
use kasmina_trainer::{RunConfig, Summary, Trainer};
use std::sync::atomic::AtomicBool;

/// One run of each blueprint on each topology that it serves, with the settings of the task.
pub(crate) fn table(filter: &str) -> Result<Table> {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header([
        "blueprint",
        "task",
        "germinated",
        "fossilized",
        "pruned",
        "worth of the best fossil",
        "accuracy",
    ]);
    let registry = kasmina_tests::registry(&[]);
    let blueprints = registry.entries().into_iter().filter(|e| e.kind() == Kind::Blueprint && !interprets(e));
    for entry in blueprints.filter(|e| e.full_name().contains(filter)) {
        for (topology, task) in [(Topology::CNN, "digits"), (Topology::TRANSFORMER, "addition")] {
            if !entry.serves(topology) {
                continue;
            }
            let mut config = RunConfig::for_task(task)?;
            config.blueprint = entry.full_name();
            "cpu".clone_into(&mut config.device);
            let trainer = Trainer::prepare(config, &registry).with_context(|| entry.full_name())?;
            let summary = trainer.run(None, &mut (), &AtomicBool::new(false))?;
            let worth = best(&summary).map_or_else(|| "-".to_owned(), |worth| format!("{worth:+.2}"));
            let percent = summary.final_val_accuracy.unwrap_or(0.0);
            eprintln!("{} on {task}: {} fossilized", entry.full_name(), summary.fossilized);
            table.add_row([
                entry.full_name(),
                task.to_owned(),
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

/// What builds only what somebody has declared in a file.
fn interprets(entry: &Entry) -> bool {
    entry.plugin().name == INTERPRETER
}

fn best(summary: &Summary) -> Option<f64> {
    let fossils = summary.seeds.iter().filter(|seed| seed.fate == "fossilized");
    fossils.filter_map(|seed| seed.contribution).max_by(f64::total_cmp)
}
