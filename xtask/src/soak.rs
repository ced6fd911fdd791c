//! `cargo xtask soak`: a hundred epochs of the main job and a hundred rounds of germinate and prune, with what they
//! measured. Both are tests as well; this is for reading their figures.

use std::process::ExitCode;

use anyhow::Result;

use crate::{process, repo::Repo, tests};

/// Runs the two tests where their output can be read.
pub(crate) fn run(repo: &Repo) -> Result<ExitCode> {
    let torch = crate::setup::run(repo, false)?;
    let args = [
        "--quiet",
        "--test",
        "soak",
        "--test",
        "seeds",
        "--",
        "--nocapture",
        "--exact",
        "a_hundred_epochs_of_the_main_job",
        "a_hundred_rounds_leave_no_byte_behind",
    ];
    let args = args.map(std::ffi::OsString::from);
    let status = process::status(&mut tests::command(repo, &torch, &args)?)?;
    Ok(ExitCode::from(u8::try_from(process::code(status)).unwrap_or(1)))
}
