//! `cargo xtask rank-faults`: injects faults into runs on several ranks and reports which were survived.

use std::process::ExitCode;

use anyhow::Result;

use crate::{repo::Repo, tests};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Number of faults.
    #[arg(long, default_value = "200")]
    faults: u32,
    /// Seed of the random choice of ranks and moments.
    #[arg(long, default_value = "1")]
    seed: u64,
}

/// Runs the test program `rank_faults`, which prints a table.
pub(crate) fn run(repo: &Repo, args: &Args) -> Result<ExitCode> {
    let (faults, seed) = (args.faults.to_string(), args.seed.to_string());
    tests::program(repo, ["--test", "rank_faults", "--", "--faults", &faults, "--seed", &seed])
}
