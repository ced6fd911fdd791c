//! `kasmina plugins check`.

use super::output::print_json;
use crate::child::VERB;
use crate::failure::Failure;
use indicatif::ProgressBar;
use kasmina_registry::child::Program;
use kasmina_registry::survey::survey;
use kasmina_registry::{Manifest, Policy, RegistryError, SearchPath};
use kasmina_testkit::{CheckError, Options, check_file_told};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub(crate) fn run(
    file: &Path,
    (only, seed): (&[String], u64),
    plugin_path: &[PathBuf],
    json: bool,
) -> Result<ExitCode, Failure> {
    let mut options = Options::default();
    options.only = only.to_vec();
    options.seed = seed;
    options.with = needed(file, plugin_path)?;
    let bar = ProgressBar::new_spinner();
    let mut done = 0;
    let report = check_file_told(file, &Program::this([VERB]), &options, &mut |row| {
        done += 1;
        bar.set_message(format!("{done} checks, {} {}", row.entry, row.check));
        bar.tick();
    });
    bar.finish_and_clear();
    let report = report?;
    if json {
        print_json(&report)?;
    } else {
        crate::terminal::out(&report.to_string());
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What interprets a file that is no library.
fn needed(file: &Path, plugin_path: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let manifest = Manifest::read(file).map_err(RegistryError::from)?;
    if !manifest.is_interpreted() {
        return Ok(Vec::new());
    }
    let found = survey(&SearchPath::standard(plugin_path), &Policy::embedded())?;
    let interpreter =
        found.files.into_iter().find(|f| f.manifest.plugin.name == kasmina_registry::INTERPRETER);
    interpreter.map(|f| vec![f.manifest.path]).ok_or_else(|| {
        Failure::new(format!(
            "the plugin that interprets it, `{}`, is not found",
            kasmina_registry::INTERPRETER
        ))
        .with_help("name the folder that it lies in with --plugin-path")
    })
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Self {
        let failure = Self::new(&error);
        match error {
            CheckError::Refused(refusal) => failure.with_help(refusal.remedy),
            CheckError::UnknownCheck { .. } => {
                failure.with_help("docs/guide/testing.md says what each promises")
            }
            _ => failure,
        }
    }
}
