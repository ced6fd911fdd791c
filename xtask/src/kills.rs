//! `cargo xtask kills`: kills runs in every stage, resumes them, and compares the results bit for bit.

use std::process::ExitCode;

use anyhow::Result;

use crate::{repo::Repo, tests};

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
    let (kills, seed) = (args.kills.to_string(), args.seed.to_string());
    tests::program(repo, ["--release", "--test", "kills", "--", "--kills", &kills, "--seed", &seed])
}
