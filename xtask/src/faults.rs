//! `cargo xtask faults`: accidents that happen to runs, and what was lost to them.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

use crate::{process, repo::Repo, setup, tests};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// For how long accidents happen.
    #[arg(long, default_value = "5")]
    minutes: f64,
    /// The seed of what happens.
    #[arg(long, default_value = "1")]
    seed: u64,
}

/// Runs the test program of the accidents, which prints a table.
pub(crate) fn run(repo: &Repo, args: &Args) -> Result<ExitCode> {
    let torch = setup::run(repo, false)?;
    let status = process::status(&mut tests::command(repo, &torch, &forwarded(args.minutes, args.seed))?)?;
    Ok(ExitCode::from(u8::try_from(process::code(status)).unwrap_or(1)))
}

/// The arguments of `cargo test`.
pub(crate) fn forwarded(minutes: f64, seed: u64) -> Vec<OsString> {
    ["--quiet", "--test", "faults", "--", "--minutes", &minutes.to_string(), "--seed", &seed.to_string()]
        .map(OsString::from)
        .to_vec()
}
