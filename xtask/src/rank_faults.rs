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
    /// Number of GPUs, one for each rank; 0 for two to four ranks on the CPU.
    #[arg(long, default_value = "0")]
    gpus: u32,
}

/// Runs the test program `rank_faults`, which prints a table.
pub(crate) fn run(repo: &Repo, args: &Args) -> Result<ExitCode> {
    let [faults, seed, gpus] = [args.faults.to_string(), args.seed.to_string(), args.gpus.to_string()];
    let chosen = ["--faults", &faults, "--seed", &seed, "--gpus", &gpus];
    tests::program(repo, ["--test", "rank_faults", "--"].into_iter().chain(chosen))
}
