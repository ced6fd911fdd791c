//! `kasmina checkpoints`.

use crate::args::CheckpointsVerb;
use crate::failure::Failure;
use crate::table;
use crate::terminal;
use kasmina_checkpoint::{CheckpointError, FOLDER, Keep, Listed, Manifest};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

impl From<CheckpointError> for Failure {
    fn from(error: CheckpointError) -> Self {
        let failure = Self::new(&error);
        match error.help() {
            Some(help) => failure.with_help(help),
            None => failure,
        }
    }
}

pub(crate) fn run(verb: &CheckpointsVerb) -> Result<ExitCode, Failure> {
    match verb {
        CheckpointsVerb::List { run, json } => {
            show(&list(run)?.iter().map(|l| (l.name(), readable(&l.manifest))).collect::<Vec<_>>(), *json)?;
            Ok(ExitCode::SUCCESS)
        }
        CheckpointsVerb::Verify { run, json } => {
            let verified: Vec<_> = list(run)?
                .iter()
                .map(|l| (l.name(), readable(&kasmina_checkpoint::verify(&l.path))))
                .collect();
            show(&verified, *json)?;
            let whole = verified.iter().all(|(_, manifest)| manifest.is_ok());
            Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        CheckpointsVerb::Prune { run, keep, without_best } => {
            list(run)?;
            let keep = Keep { newest: keep.get(), best: !without_best };
            for removed in kasmina_checkpoint::prune_verified(&run.join(FOLDER), keep)? {
                outln!("removed {}", removed.display());
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Returns the checkpoints of a run, oldest first. A run without checkpoints is an error.
fn list(run: &Path) -> Result<Vec<Listed>, Failure> {
    let folder = run.join(FOLDER);
    let all = kasmina_checkpoint::list(&folder)?;
    if all.is_empty() { Err(CheckpointError::None { path: folder }.into()) } else { Ok(all) }
}

/// The manifest of a checkpoint, or the message of the error in it.
type ReadableManifest = Result<Manifest, String>;

fn readable(manifest: &Result<Manifest, CheckpointError>) -> ReadableManifest {
    match manifest {
        Ok(manifest) => Ok(manifest.clone()),
        Err(error) => Err(error.to_string()),
    }
}

fn show(all: &[(String, ReadableManifest)], as_json: bool) -> Result<(), Failure> {
    if as_json {
        let rows: Vec<_> = all
            .iter()
            .map(|(name, manifest)| match manifest {
                Ok(manifest) => json!({
                    "name": name, "whole": true, "about": manifest.about, "bytes": bytes(manifest),
                }),
                Err(error) => json!({ "name": name, "whole": false, "error": error }),
            })
            .collect();
        terminal::out_json(&rows)?;
        return Ok(());
    }
    let numbers = ["EPOCH", "STEP", "SCORE", "BYTES"];
    let mut rows = table::table(&["CHECKPOINT", "EPOCH", "STEP", "SCORE", "BYTES", "STATE"], &numbers);
    for (name, manifest) in all {
        let row = match manifest {
            Ok(manifest) => {
                let about = &manifest.about;
                let state = match (about.finished, about.epoch_is_whole) {
                    (true, _) => "finished",
                    (false, true) => "between epochs",
                    (false, false) => "within an epoch",
                };
                let score = about.score.map_or_else(|| "-".to_owned(), |score| format!("{score:.2}"));
                let (epoch, step) = (about.epoch.to_string(), about.step.to_string());
                [name.clone(), epoch, step, score, bytes(manifest).to_string(), state.to_owned()]
            }
            Err(error) => {
                let none = || "-".to_owned();
                [name.clone(), none(), none(), none(), none(), format!("not whole: {error}")]
            }
        };
        rows.add_row(row);
    }
    table::print(&rows);
    Ok(())
}

fn bytes(manifest: &Manifest) -> u64 {
    manifest.files.values().map(|file| file.bytes).sum()
}
