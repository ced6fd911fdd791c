//! Runs the machine's Python.

use std::env;
use std::path::Path;
use std::process::Command;

/// Interpreter whose pip fetches wheels.
pub(super) const PYTHON: &str = "python3";

/// Command for Python without the library path that cargo sets for the programs that it runs: with that path,
/// Python could load this repository's libtorch instead of its own.
pub(super) fn command(program: &str, link: &Path) -> Command {
    let mut python = Command::new(program);
    if let Some(paths) = env::var_os("LD_LIBRARY_PATH") {
        let kept: Vec<_> = env::split_paths(&paths).filter(|path| !path.starts_with(link)).collect();
        match env::join_paths(&kept) {
            Ok(paths) if !kept.is_empty() => python.env("LD_LIBRARY_PATH", paths),
            _ => python.env_remove("LD_LIBRARY_PATH"),
        };
    }
    python
}
