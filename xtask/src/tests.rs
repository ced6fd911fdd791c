//! `cargo xtask test`: sets up libtorch and runs the tests of the whole workspace.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::{process, repo::Repo, setup, snapshots};

/// Environment variable that names the folder of Python packages to the tests.
const PYTHON_PACKAGES: &str = "KASMINA_TEST_PYTHON";

/// Sets up and replaces this process by `cargo test`. Returns only on failure.
pub(crate) fn run(repo: &Repo, args: &[OsString]) -> Result<ExitCode> {
    let torch = setup::run(repo, false)?;
    Err(process::become_program(&mut command(repo, &torch, args)?))
}

/// The `cargo test` command. Without arguments it runs every test, and then also records which snapshots they
/// use.
pub(crate) fn command(repo: &Repo, torch: &setup::Torch, args: &[OsString]) -> Result<Command> {
    let mut cargo = torch.cargo();
    cargo.arg("test");
    if !names_package(args) {
        cargo.arg("--workspace");
    }
    cargo.arg("--all-features").args(args).current_dir(repo.root());
    if env::var_os("CI").is_some() {
        cargo.env("INSTA_UPDATE", "no");
    }
    match setup::python_packages(repo) {
        Ok(folder) => {
            cargo.env(PYTHON_PACKAGES, folder);
        }
        Err(error) if env::var_os("CI").is_some() => return Err(error),
        Err(error) => eprintln!("python: tests of exported networks are skipped: {error:#}"),
    }
    if args.is_empty() {
        // A failing test program must not prevent the others from running.
        cargo.arg("--no-fail-fast");
        let record = snapshots::record(repo)?;
        if let Some(dir) = record.parent() {
            fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        fs::write(&record, "").with_context(|| format!("cannot empty {}", record.display()))?;
        cargo.env(snapshots::RECORD_VARIABLE, record);
    }
    Ok(cargo)
}

/// Sets up and runs `cargo test` for a test program that reports on its own. Returns its exit code.
pub(crate) fn program<T: Into<OsString>>(repo: &Repo, args: impl IntoIterator<Item = T>) -> Result<ExitCode> {
    let torch = setup::run(repo, false)?;
    let args: Vec<OsString> =
        std::iter::once(OsString::from("--quiet")).chain(args.into_iter().map(Into::into)).collect();
    let status = process::status(&mut command(repo, &torch, &args)?)?;
    Ok(ExitCode::from(u8::try_from(process::code(status)).unwrap_or(1)))
}

/// Whether arguments of `cargo test` select packages, which `--workspace` would override.
fn names_package(args: &[OsString]) -> bool {
    let ours = args.iter().map(|arg| arg.to_string_lossy()).take_while(|arg| arg != "--");
    ours.into_iter().any(|arg| arg.starts_with("-p") || arg.starts_with("--package"))
}

#[cfg(test)]
mod spec {
    use super::*;

    #[test]
    fn a_selected_package_replaces_the_workspace() {
        let names = |args: &[&str]| names_package(&args.iter().map(OsString::from).collect::<Vec<_>>());
        assert!(names(&["-p", "kasmina"]) && names(&["--lib", "--package=kasmina"]) && names(&["-pkasmina"]));
        assert!(!names(&["--test", "messages"]) && !names(&["kit", "--", "-p"]));
    }
}
