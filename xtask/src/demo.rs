//! `cargo xtask demo`: from a fresh checkout to a training run in one command.

use std::ffi::OsString;
use std::process::{Command, ExitCode};
use std::time::SystemTime;
use std::{env, fs};

use anyhow::{Context as _, Result};

use crate::{process, product, repo::Repo};

/// Builds in release mode and becomes `kasmina train`.
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

/// Builds in release mode and becomes `kasmina compare`.
pub(crate) fn compare(repo: &Repo, args: &[OsString]) -> Result<ExitCode> {
    let mut compare = Command::new(product::build(repo, true)?);
    Err(process::become_program(compare.arg("compare").args(args)))
}

/// A new directory name under the repository's `runs/`, as short as the current directory allows.
fn fresh_out(repo: &Repo) -> Result<std::path::PathBuf> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).context("the clock is before 1970")?;
    let runs = repo.root().join("runs");
    fs::create_dir_all(&runs).with_context(|| format!("cannot create {}", runs.display()))?;
    let out = runs.join(format!("demo-{}", now.as_secs()));
    let here = env::current_dir().context("the current directory is gone")?;
    Ok(out.strip_prefix(here).map(Into::into).unwrap_or(out))
}
