//! `kasmina export`.

use crate::args::ExportArgs;
use crate::failure::Failure;
use crate::table;
use crate::terminal;
use kasmina_export::{ExportError, Folding, Format, Options, export};
use kasmina_trainer::run::SavedNetwork;
use serde_json::json;

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Trainer(error) => error.into(),
            ExportError::Registry(error) => error.into(),
            ExportError::Checkpoint(error) => error.into(),
            other => match other.help() {
                Some(help) => Self::new(&other).with_help(help),
                None => Self::new(&other),
            },
        }
    }
}

pub(crate) fn run(args: &ExportArgs) -> Result<(), Failure> {
    let saved = SavedNetwork::open(&args.path, args.checkpoint)?;
    let registry = args.plugins.load(Some(saved.run()))?;
    let format = if args.adapter { Some(Format::Adapter) } else { args.format.map(Into::into) };
    let options = Options { format, fold: args.fold, dtype: args.dtype.map(Into::into) };
    let written = export(&saved, &registry, &args.to, options)?;
    let network = &written.structure;
    if let Some(part) = &written.without_source {
        errln!("{part} has no PyTorch source, so the network is written as TorchScript");
    }
    let format = written.format;
    let about = saved.about();
    if args.json {
        terminal::out_json(&json!({
            "folder": args.to.display().to_string(),
            "format": format,
            "checkpoint": saved.path().display().to_string(),
            "epoch": about.epoch,
            "step": about.step,
            "folding": written.folding,
            "seeds": network.seeds.iter().map(|seed| &seed.slot).collect::<Vec<_>>(),
        }))?;
        return Ok(());
    }
    if let Some(folding) = &written.folding {
        tell_folding(folding);
    }
    let seeds = match network.seeds.len() {
        1 => "1 seed".to_owned(),
        number => format!("{number} seeds"),
    };
    outln!(
        "wrote {} ({format}): {} with {seeds}, of epoch {}, step {}",
        args.to.display(),
        network.host.entry.full_name(),
        about.epoch,
        about.step
    );
    Ok(())
}

/// Prints which seeds were folded.
fn tell_folding(folding: &Folding) {
    let mut rows = table::table(&["SEED", "SLOT", "NOW"], &[]);
    for seed in &folding.folded {
        let nothing = || "nothing, because it changes nothing".to_owned();
        let now = seed.into.as_ref().map_or_else(nothing, |weight| format!("in {weight}"));
        rows.add_row([seed.seed.full_name().as_str(), &seed.slot, &now]);
    }
    for seed in &folding.kept {
        rows.add_row([
            seed.seed.full_name().as_str(),
            &seed.slot,
            "a layer, because it is not linear in each position",
        ]);
    }
    table::print(&rows);
    outln!("largest difference {:.1e} of the largest output", folding.difference);
    outln!();
}
