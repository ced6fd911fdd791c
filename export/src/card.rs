//! `README.md`: the model card.

use crate::content::Content;
use crate::{Part, SeedInSlot, Structure};
use kasmina_records::Summary;
use kasmina_trainer::task::Input;
use std::fmt::Write as _;
use std::path::Path;

/// Writes the model card, with an example of how the export is used.
pub(crate) fn text(content: &Content<'_>, example: &str) -> String {
    let Content { saved, network, interface, .. } = *content;
    let (about, config) = (saved.about(), saved.config());
    let summary = summary(saved.run());
    let summary = summary.as_ref();
    let pipeline = match interface.input {
        Input::Image(_) => "image-classification",
        Input::Tokens(_) => "text-generation",
    };
    let mut card = format!(
        "---\nlibrary_name: transformers\npipeline_tag: {pipeline}\ntags:\n- kasmina\n- grown\n---\n\n# {} grown on `{}`\n\n",
        network.host.entry.id, config.task
    );
    let _ = writeln!(
        card,
        "The host `{}` was trained on the task `{}`. {} Kasmina {} wrote the checkpoint after epoch {}, step {}.\n",
        network.host.entry.full_name(),
        config.task,
        grown(network),
        about.version,
        about.epoch,
        about.step,
    );
    if let Some(score) = about.score {
        let _ = writeln!(card, "| measure | value |\n|---|---|\n| score of the validation | {score:.2} |");
        let _ = writeln!(card, "| numbers in the weights | {} |\n", parameters(content));
    }
    if !network.seeds.is_empty() {
        card.push_str("## Seeds in the network\n\n| slot | blueprint | stage | alpha | blend | germinated | worth | parameters |\n|---|---|---|---|---|---|---|---|\n");
        for seed in &network.seeds {
            card.push_str(&row(seed, summary));
        }
        card.push('\n');
    }
    let folded = content.folding.map_or(&[][..], |folding| &folding.folded);
    if !folded.is_empty() {
        card.push_str(
            "## Seeds folded into layers of the host\n\n| slot | blueprint | weight |\n|---|---|---|\n",
        );
        for seed in folded {
            let weight = seed.into.as_ref().map_or_else(|| "none".to_owned(), |name| format!("`{name}`"));
            let _ = writeln!(card, "| `{}` | `{}` | {weight} |", seed.slot, seed.seed.full_name());
        }
        card.push('\n');
    }
    if let Some(summary) = summary {
        let is_kept = |id: &str| {
            network.seeds.iter().any(|seed| seed.seed_id == id)
                || folded.iter().any(|seed| seed.seed_id == id)
        };
        let gone = summary.seeds.iter().filter(|seed| !is_kept(&seed.seed_id));
        let gone: Vec<String> = gone
            .map(|seed| {
                let reason = seed.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
                format!("| `{}` | `{}` | {}{reason} |\n", seed.slot, seed.blueprint, seed.fate)
            })
            .collect();
        if !gone.is_empty() {
            let _ = write!(
                card,
                "## Seeds that did not stay\n\n| slot | blueprint | fate |\n|---|---|---|\n{}\n",
                gone.concat()
            );
        }
    }
    let _ = write!(card, "## Plugins\n\n| plugin | version | SHA-256 |\n|---|---|---|\n{}", plugins(network));
    let _ = write!(card, "\n## Use\n\n```python\n{example}```\n");
    card
}

/// The summary of a run, if the run has ended. It tells which seeds did not stay, and why.
fn summary(run: &Path) -> Option<Summary> {
    let bytes = kasmina_files::read(&run.join("summary.json"), kasmina_files::limit::CONFIG).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn grown(network: &Structure) -> String {
    match network.seeds.len() {
        0 => "No seed is part of the network.".to_owned(),
        1 => "1 seed that germinated during training is part of the network.".to_owned(),
        number => format!("{number} seeds that germinated during training are part of the network."),
    }
}

fn parameters(content: &Content<'_>) -> usize {
    crate::weights::exported(content.network, content.weights)
        .values()
        // Buffers count too: the file has no mark for them.
        .map(|view| view.shape.iter().product::<usize>())
        .sum()
}

fn row(seed: &SeedInSlot, summary: Option<&Summary>) -> String {
    let found = summary.and_then(|summary| summary.seeds.iter().find(|found| found.seed_id == seed.seed_id));
    let none = || "unknown".to_owned();
    let germinated = found.map_or_else(none, |found| format!("epoch {}", found.germinated_epoch));
    let worth = found.and_then(|found| found.contribution).map_or_else(none, |worth| format!("{worth:+.2}"));
    let parameters = found.map_or_else(none, |found| found.parameters.to_string());
    format!(
        "| `{}` | `{}` | {} | {} | `{}` | {germinated} | {worth} | {parameters} |\n",
        seed.slot,
        seed.seed.entry.full_name(),
        seed.stage,
        seed.alpha,
        seed.blend.entry.full_name(),
    )
}

fn plugins(network: &Structure) -> String {
    let seeds = network.seeds.iter().flat_map(|seed| [&seed.seed, &seed.blend]);
    let row = |part: &Part| {
        let sha256 = part.entry.sha256.as_deref().unwrap_or("built in");
        format!("| `{}` | {} | `{sha256}` |\n", part.entry.plugin, part.entry.version)
    };
    let mut rows: Vec<String> = std::iter::once(&network.host).chain(seeds).map(row).collect();
    rows.sort();
    rows.dedup();
    rows.concat()
}
