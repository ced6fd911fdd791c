//! What an author does with a crate of his own: the real cargo, outside of this workspace.

use crate::{built, output};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A cargo for crates outside of this workspace. It builds into this workspace's target folder: what both
/// need of others, torch-sys above all, is compiled once.
///
/// # Panics
/// If this test does not lie in a target folder.
pub fn cargo(verb: &str, folder: &Path) -> Command {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let target = built().parent().expect("a profile lies in a target folder");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.arg(verb).current_dir(folder).env("CARGO_TARGET_DIR", target).env("CARGO_TERM_COLOR", "never");
    // Cargo compiles torch-sys again where its build script has other dependencies, or is told another path.
    let libtorch = Path::new(root).join(".torch/libtorch");
    let libtorch = std::path::absolute(&libtorch).unwrap_or(libtorch);
    let libtorch = libtorch.parent().and_then(|d| d.canonicalize().ok()).unwrap_or(libtorch).join("libtorch");
    cargo.args(["--config", "profile.dev.package.miniz_oxide.opt-level=3"]);
    cargo.arg("--config").arg(format!("env.LIBTORCH={:?}", libtorch.display().to_string()));
    if built().ends_with("release") {
        cargo.arg("--release");
    }
    cargo
}

/// What a cargo of [`cargo`] has built from a crate.
pub fn library(crate_name: &str) -> PathBuf {
    built().join(format!("lib{crate_name}.so"))
}

/// Runs a command that must succeed, and answers with what it said on standard output.
///
/// # Panics
/// If it does not succeed.
pub fn must(mut command: Command, more: impl IntoIterator<Item = impl Into<OsString>>) -> String {
    command.args(more.into_iter().map(Into::into));
    let shown = format!("{command:?}");
    let (stdout, stderr, code) = output(command);
    assert_eq!(code, Some(0), "{shown}\n{stdout}\n{stderr}");
    stdout
}
