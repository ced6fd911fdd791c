//! `cargo xtask faults`: injects faults into runs and reports what was lost.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

use crate::{process, repo::Repo, setup, tests};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Duration of the test in minutes.
    #[arg(long, default_value = "5")]
    minutes: f64,
    /// Seed of the random choice of faults.
    #[arg(long, default_value = "1")]
    seed: u64,
}

/// Runs the test program `faults`, which prints a table.
pub(crate) fn run(repo: &Repo, args: &Args) -> Result<ExitCode> {
    let torch = setup::run(repo, false)?;
    let status = process::status(&mut tests::command(repo, &torch, &forwarded(args.minutes, args.seed))?)?;
    Ok(ExitCode::from(u8::try_from(process::code(status)).unwrap_or(1)))
}

/// Arguments of `cargo test` for the test program `faults`.
pub(crate) fn forwarded(minutes: f64, seed: u64) -> Vec<OsString> {
    ["--quiet", "--test", "faults", "--", "--minutes", &minutes.to_string(), "--seed", &seed.to_string()]
        .map(OsString::from)
        .to_vec()
}
