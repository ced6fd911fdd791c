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
    /// Number of GPUs, one for each rank [default: two to four ranks on the CPU].
    #[arg(long, value_name = "N")]
    gpus: Option<u32>,
}

/// Runs the test program `rank_faults`, which prints a table.
pub(crate) fn run(repo: &Repo, args: &Args) -> Result<ExitCode> {
    let mut chosen = vec!["--faults".to_owned(), args.faults.to_string()];
    chosen.extend(["--seed".to_owned(), args.seed.to_string()]);
    chosen.extend(args.gpus.into_iter().flat_map(|gpus| ["--gpus".to_owned(), gpus.to_string()]));
    let program = ["--test", "rank_faults", "--"].map(str::to_owned);
    tests::program(repo, program.into_iter().chain(chosen))
}
