//! `cargo xtask python`: installs PyTorch and transformers, which read exported networks, into the per-user
//! cache.
//!
//! The packages of each Python version are pinned with their hashes in `xtask/python/`. They are installed
//! into a folder for `PYTHONPATH`; the machine's own Python is not changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use super::cache::Cache;
use super::problem::{Problem, tail, writing};
use super::python::{self, PYTHON};

/// The pinned packages for each tag of CPython.
const LISTS: [(&str, &str); 3] = [
    ("cp311", include_str!("../../python/cp311.txt")),
    ("cp312", include_str!("../../python/cp312.txt")),
    ("cp313", include_str!("../../python/cp313.txt")),
];
/// Python script that makes stand-ins for the CUDA libraries.
const STUBS: &str = include_str!("../../python/stubs.py");
/// Free bytes that the packages need while they are unpacked.
const ROOM: u64 = 4_500_000_000;

/// Installs the packages if they are missing. Returns their folder.
///
/// # Errors
/// If there is no Python of a pinned version, or pip cannot install a package.
pub(crate) fn provide(link: &Path) -> Result<PathBuf> {
    let tag = tag(link)?;
    let Some((_, list)) = LISTS.iter().find(|(known, _)| *known == tag) else {
        let known: Vec<&str> = LISTS.iter().map(|(known, _)| *known).collect();
        bail!(
            "`{PYTHON}` is {tag}; the packages are pinned for {}.\n  Put one of these first on PATH.",
            known.join(", ")
        );
    };
    let hash = hex::encode(Sha256::digest(format!("{list}{STUBS}")));
    let cache = Cache::of_user()?;
    let folder = cache.folder().join(format!("python-{tag}-{}", &hash[..12]));
    if folder.is_dir() {
        return Ok(folder);
    }
    let lock = cache.lock()?;
    if folder.is_dir() {
        return Ok(folder);
    }
    lock.sweep();
    let staging = lock.room("the Python packages", ROOM)?;
    eprintln!("python: installing PyTorch and transformers for {tag}, 700 MB to fetch");
    let packages = staging.path().join("packages");
    install(link, list, staging.path(), &packages)?;
    stand_ins(link, staging.path(), &packages)?;
    fs::rename(&packages, &folder).map_err(writing(cache.folder()))?;
    Ok(folder)
}

/// Tag of the machine's Python, for example `cp311`.
fn tag(link: &Path) -> Result<String> {
    let text = "import sys; print('cp%d%d' % sys.version_info[:2])";
    let output = python::command(PYTHON, link).args(["-c", text]).output();
    let output = output.map_err(|_| Problem::NoPython { program: PYTHON })?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn install(link: &Path, list: &str, staging: &Path, packages: &Path) -> Result<()> {
    let (requirements, temporary) = (staging.join("requirements.txt"), staging.join("tmp"));
    fs::write(&requirements, list).map_err(writing(staging))?;
    fs::create_dir(&temporary).map_err(writing(staging))?;
    let mut pip = python::command(PYTHON, link);
    pip.args(["-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"])
        .args(["--require-hashes", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-compile"])
        .arg("--target")
        .arg(packages)
        .arg("--requirement")
        .arg(&requirements)
        .env("TMPDIR", &temporary);
    run(pip, "the pinned Python packages")
}

fn stand_ins(link: &Path, staging: &Path, packages: &Path) -> Result<()> {
    let script = staging.join("stubs.py");
    fs::write(&script, STUBS).map_err(writing(staging))?;
    let mut stubs = python::command(PYTHON, link);
    stubs.arg(&script).arg(packages);
    run(stubs, "stand-ins for the CUDA libraries")
}

/// Runs a Python command that installs `what`. Returns an error with its last lines if it fails.
fn run(mut command: Command, what: &str) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run `{PYTHON}`"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    bail!("{PYTHON} could not install {what}. Its last lines:\n{}", tail(&text));
}
