//! `cargo xtask golden`: short runs whose results must match the recorded ones bit for bit.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

use crate::{repo::Repo, tests};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Record the results in `tests/tests/golden/expected` again instead of comparing.
    #[arg(long)]
    update: bool,
    /// Run only the cases whose name contains this; may be given several times.
    names: Vec<OsString>,
}

/// Runs the test program `golden`, which compares or records the results.
pub(crate) fn run(repo: &Repo, args: Args) -> Result<ExitCode> {
    let mut forwarded: Vec<OsString> = ["--test", "golden", "--"].map(OsString::from).to_vec();
    if args.update {
        forwarded.push("--update".into());
    }
    forwarded.extend(args.names);
    tests::program(repo, forwarded)
}
