//! `kasmina plugins lock`.

use super::args::Access;
use crate::failure::Failure;
use crate::table;
use kasmina_registry::locking::{Change, decide};
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) fn run(files: &[PathBuf], access: &Access, check: bool) -> Result<ExitCode, Failure> {
    let policy = access.policy();
    let decisions = decide(files, &access.search(), &policy)?;
    let mut rows = table::table(&["PLUGIN", "VERSION", "BUILD", "SIGNED BY", ""], &[]);
    for decision in &decisions.plugins {
        let change = match &decision.change {
            Change::Added => "new".to_owned(),
            Change::Same => "unchanged".to_owned(),
            Change::Changed { from: Some(from) } => format!("was {from}"),
            Change::Changed { from: None } => "was not locked for this target".to_owned(),
            Change::Missing => "no longer found".to_owned(),
        };
        let none = || "-".to_owned();
        rows.add_row([
            decision.name.clone(),
            decision.version.clone(),
            decision.generation.clone().unwrap_or_else(none),
            decision.signer.clone().unwrap_or_else(none),
            change,
        ]);
    }
    if !decisions.plugins.is_empty() {
        table::print(&rows);
    }
    for refused in &decisions.refused {
        errln!("left out: {refused}");
        errln!("  help: {}", refused.remedy);
    }
    let path = decisions.path().display();
    if check {
        if decisions.stand() {
            outln!("{path} is up to date");
            return Ok(ExitCode::SUCCESS);
        }
        let text = format!("{path} does not match the plugins that were found");
        return Err(
            Failure::new(text).with_help("`kasmina plugins lock` updates it, if that is what you want")
        );
    }
    if decisions.is_written() {
        outln!("{path} is up to date");
    } else {
        decisions.write(&policy)?;
        outln!("wrote {path}");
    }
    Ok(ExitCode::SUCCESS)
}
