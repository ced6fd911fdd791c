//! `cargo xtask kills`: kills runs in every stage, resumes them, and compares the results bit for bit.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

use crate::{process, repo::Repo, setup, tests};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Number of runs to kill.
    #[arg(long, default_value = "100")]
    kills: u32,
    /// Seed of the random moments at which runs are killed.
    #[arg(long, default_value = "1")]
    seed: u64,
}

/// Runs the test program `kills` with optimisations; it prints a table.
pub(crate) fn run(repo: &Repo, args: &Args) -> Result<ExitCode> {
    let torch = setup::run(repo, false)?;
    let forwarded = ["--quiet", "--release", "--test", "kills", "--", "--kills"].map(OsString::from);
    let mut forwarded = forwarded.to_vec();
    forwarded
        .extend([args.kills.to_string(), "--seed".to_owned(), args.seed.to_string()].map(OsString::from));
    let status = process::status(&mut tests::command(repo, &torch, &forwarded)?)?;
    Ok(ExitCode::from(u8::try_from(process::code(status)).unwrap_or(1)))
}
