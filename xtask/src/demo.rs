//! `cargo xtask demo` and `cargo xtask compare`: build Kasmina in release mode and run it.

use std::ffi::OsString;
use std::process::{Command, ExitCode};
use std::time::SystemTime;
use std::{env, fs};

use anyhow::{Context as _, Result};

use crate::{process, product, repo::Repo};

/// Builds in release mode and replaces this process by `kasmina train`. Returns only on failure.
pub(crate) fn run(repo: &Repo, args: &[OsString]) -> Result<ExitCode> {
    let kasmina = product::build(repo, true)?;
    let mut train = Command::new(kasmina);
    train.arg("train");
    if args.is_empty() {
        train.arg("--out").arg(fresh_out(repo)?);
    } else {
        train.args(args);
    }
    Err(process::become_program(&mut train))
}

/// Builds in release mode and replaces this process by `kasmina compare`. Returns only on failure.
pub(crate) fn compare(repo: &Repo, args: &[OsString]) -> Result<ExitCode> {
    let mut compare = Command::new(product::build(repo, true)?);
    Err(process::become_program(compare.arg("compare").args(args)))
}

/// Path of a new directory under the repository's `runs/`, relative to the current directory if possible.
fn fresh_out(repo: &Repo) -> Result<std::path::PathBuf> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("the clock is before 1970")?;
    let runs = repo.root().join("runs");
    fs::create_dir_all(&runs).with_context(|| format!("cannot create {}", runs.display()))?;
    let out = runs.join(format!("demo-{}", now.as_secs()));
    let here = env::current_dir().context("the current directory does not exist")?;
    Ok(out.strip_prefix(here).map(Into::into).unwrap_or(out))
}
