//! Python with PyTorch and transformers, as `cargo xtask python` installs it.

use crate::say;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// Environment variable with the folder of Python packages.
const PACKAGES: &str = "KASMINA_TEST_PYTHON";

/// Returns a Python command that finds the packages. Without them, prints that the test is skipped and
/// returns `None`.
///
/// # Panics
/// If there are no packages in continuous integration, where nothing may be skipped.
pub fn python(test: &str) -> Option<Command> {
    let packages = packages(test)?;
    let mut python = Command::new("python3");
    // Python has a libtorch of its own and must not load the one of the tests.
    python.env_remove("LD_LIBRARY_PATH").env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    python.env("HF_HUB_OFFLINE", "1").env("TRANSFORMERS_VERBOSITY", "error").arg("-W").arg("ignore");
    Some(python)
}

/// Lets a command compare PyTorch sources with a Python that has the packages. Returns whether there are
/// packages.
///
/// # Panics
/// As [`python`].
pub fn give_python(command: &mut Command, test: &str) -> bool {
    let Some(packages) = packages(test) else { return false };
    command.env("PYTHONPATH", packages).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    true
}

/// Returns the folder of the packages.
fn packages(test: &str) -> Option<OsString> {
    let found = std::env::var_os(PACKAGES).filter(|folder| Path::new(folder).is_dir());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{PACKAGES} names no folder; `cargo xtask test` sets it");
        say(&format!("SKIPPED {test}: no Python packages; `cargo xtask test` installs them"));
    }
    found
}
