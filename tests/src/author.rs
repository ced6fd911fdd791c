//! Runs cargo as the author of a plugin does: on a crate outside of this workspace.

use crate::{built, output};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns a cargo command for a crate outside of this workspace. It builds into this workspace's target
/// folder, so that shared dependencies, above all torch-sys, are compiled once.
///
/// # Panics
/// If the test program is not in a target folder.
pub fn cargo(verb: &str, folder: &Path) -> Command {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let target = built().parent().expect("a profile lies in a target folder");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.arg(verb).current_dir(folder).env("CARGO_TARGET_DIR", target).env("CARGO_TERM_COLOR", "never");
    // Cargo compiles torch-sys again if its build script is built with other settings, or if `LIBTORCH`
    // differs.
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

/// Path of the library that [`cargo`] builds from a crate.
pub fn library(crate_name: &str) -> PathBuf {
    built().join(format!("lib{crate_name}.so"))
}

/// Runs a command with further arguments and returns its standard output.
///
/// # Panics
/// If the command fails.
pub fn must(mut command: Command, more: impl IntoIterator<Item = impl Into<OsString>>) -> String {
    command.args(more.into_iter().map(Into::into));
    let shown = format!("{command:?}");
    let (stdout, stderr, code) = output(command);
    assert_eq!(code, Some(0), "{shown}\n{stdout}\n{stderr}");
    stdout
}
