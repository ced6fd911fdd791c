//! `kasmina plugins check`.

use super::args::Access;
use crate::child::VERB;
use crate::failure::Failure;
use crate::terminal;
use indicatif::ProgressBar;
use kasmina_registry::child::Program;
use kasmina_registry::survey::survey;
use kasmina_registry::{INTERPRETER, Judged, Manifest, RegistryError, refuse_others};
use kasmina_testkit::{CheckError, Options, check_manifest};
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn run(
    file: &Path,
    (only, seed): (&[String], u64),
    access: &Access,
    json: bool,
) -> Result<ExitCode, Failure> {
    let mut options = Options::default();
    options.only = only.to_vec();
    options.seed = seed;
    let manifest = Manifest::read(file).map_err(RegistryError::from)?;
    // The user asks to run this file, so it needs no signature. But no other user may be able to replace it.
    refuse_others(&manifest, &access.policy()).map_err(RegistryError::from)?;
    options.with = interpreter_of(&manifest, access)?;
    let bar = ProgressBar::new_spinner();
    let mut done = 0;
    let report = check_manifest(&manifest, &Program::this([VERB]), &options, &mut |row| {
        done += 1;
        bar.set_message(format!("{done} checks, {} {}", row.entry, row.check));
        bar.tick();
    });
    bar.finish_and_clear();
    let report = report?;
    if json {
        terminal::out_json(&report)?;
    } else {
        terminal::out(&report.to_string());
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns the plugin that interprets a declared blueprint or TorchScript seed: the one that a run would
/// load, under the same policy. Empty for libraries.
fn interpreter_of(manifest: &Manifest, access: &Access) -> Result<Vec<Judged>, Failure> {
    if !manifest.is_interpreted() {
        return Ok(Vec::new());
    }
    let found = survey(&access.search(), &access.policy())?;
    let interpreters = found.files.into_iter().filter(|f| f.manifest.plugin.name == INTERPRETER);
    let mut refused = None;
    for file in interpreters {
        match file.refusal {
            None => return Ok(vec![Judged { path: file.manifest.path, sha256: file.manifest.sha256 }]),
            Some(refusal) => refused = refused.or(Some(refusal)),
        }
    }
    Err(match refused {
        Some(refusal) => RegistryError::from(refusal).into(),
        None => Failure::new(format!("the plugin that interprets this file, `{INTERPRETER}`, is not found"))
            .with_help("pass the folder that contains it with --plugin-path"),
    })
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Self {
        let failure = Self::new(&error);
        match error {
            CheckError::Refused(refusal) => failure.with_help(refusal.remedy),
            CheckError::UnknownCheck { .. } => {
                failure.with_help("docs/guide/testing.md describes each check")
            }
            _ => failure,
        }
    }
}
