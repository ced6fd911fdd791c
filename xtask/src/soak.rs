//! `cargo xtask soak`: runs two tests and shows their measurements: a hundred epochs of the main job, and a
//! hundred rounds of germinate and prune.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::{process, repo::Repo, tests};

/// Environment variable with the folder that tests write their measurements into.
const REPORTS: &str = "KASMINA_TEST_REPORTS";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also write the measurements into this folder, as seed_soak_summary.json and prune_rounds.json.
    #[arg(long, value_name = "FOLDER")]
    json: Option<PathBuf>,
}

/// Runs the two tests and lets them print their output.
pub(crate) fn run(repo: &Repo, args: &Args) -> Result<ExitCode> {
    let torch = crate::setup::run(repo, false)?;
    let names = [
        "--quiet",
        "--test",
        "soak",
        "--test",
        "seed_lifecycle",
        "--",
        "--nocapture",
        "--exact",
        "a_default_run_of_a_hundred_epochs_is_stable",
        "a_hundred_germinations_and_prunes_leak_no_memory",
    ];
    let names = names.map(std::ffi::OsString::from);
    let mut command = tests::command(repo, &torch, &names)?;
    if let Some(folder) = &args.json {
        command.env(REPORTS, std::path::absolute(folder)?);
    }
    let status = process::status(&mut command)?;
    Ok(ExitCode::from(u8::try_from(process::code(status)).unwrap_or(1)))
}
