//! `cargo xtask soak`: a hundred epochs of the main job and a hundred rounds of germinate and prune, with
//! what they measured. Both are tests as well; this is for reading their figures.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::{process, repo::Repo, tests};

/// Names the folder that tests write what they have measured into.
const REPORTS: &str = "KASMINA_TEST_REPORTS";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also write the figures into this folder, as seed_soak_summary.json and prune_rounds.json.
    #[arg(long, value_name = "FOLDER")]
    json: Option<PathBuf>,
}

/// Runs the two tests where their output can be read.
pub(crate) fn run(repo: &Repo, args: &Args) -> Result<ExitCode> {
    let torch = crate::setup::run(repo, false)?;
    let names = [
        "--quiet",
        "--test",
        "soak",
        "--test",
        "seed_memory",
        "--",
        "--nocapture",
        "--exact",
        "a_hundred_epochs_of_the_main_job",
        "a_hundred_rounds_leave_no_byte_behind",
    ];
    let names = names.map(std::ffi::OsString::from);
    let mut command = tests::command(repo, &torch, &names)?;
    if let Some(folder) = &args.json {
        command.env(REPORTS, std::path::absolute(folder)?);
    }
    let status = process::status(&mut command)?;
    Ok(ExitCode::from(u8::try_from(process::code(status)).unwrap_or(1)))
}
