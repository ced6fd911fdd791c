//! `cargo xtask faults`: injects faults into runs and reports what was lost.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

use crate::{repo::Repo, tests};

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
    tests::program(repo, forwarded(args.minutes, args.seed))
}

/// Arguments of `cargo test` for the test program `faults`.
pub(crate) fn forwarded(minutes: f64, seed: u64) -> Vec<OsString> {
    ["--test", "faults", "--", "--minutes", &minutes.to_string(), "--seed", &seed.to_string()]
        .map(OsString::from)
        .to_vec()
}
