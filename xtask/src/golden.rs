//! `cargo xtask golden`: short runs whose results must not change by a bit unless a change says so.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;

use crate::{process, repo::Repo, setup, tests};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Record the transcripts in `tests/tests/golden/expected` again.
    #[arg(long)]
    update: bool,
    /// Run only the cases whose name contains this; may be given several times.
    names: Vec<OsString>,
}

/// Runs the test program of the golden runs, which compares or records.
pub(crate) fn run(repo: &Repo, args: Args) -> Result<ExitCode> {
    let torch = setup::run(repo, false)?;
    let mut forwarded: Vec<OsString> = ["--quiet", "--test", "golden", "--"].map(OsString::from).to_vec();
    if args.update {
        forwarded.push("--update".into());
    }
    forwarded.extend(args.names);
    let status = process::status(&mut tests::command(repo, &torch, &forwarded)?)?;
    Ok(ExitCode::from(u8::try_from(process::code(status)).unwrap_or(1)))
}
