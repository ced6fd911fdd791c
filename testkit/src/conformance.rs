//! The checks as tests of a plugin's crate, for `cargo test`.

use crate::run::{Options, check_file};
use crate::{answer, report::Report};
use kasmina_registry::child::{Program, serve};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Environment variable that makes the test `conformance_child` serve jobs instead of returning at once.
const CHILD: &str = "KASMINA_CONFORMANCE_CHILD";
/// Environment variable with the seed of all random numbers, to reproduce a failure.
const SEED: &str = "KASMINA_CONFORMANCE_SEED";
/// Environment variable with the comma-separated names of the checks to run.
const ONLY: &str = "KASMINA_CONFORMANCE_ONLY";

/// Defines tests that check the plugin of this crate, or the plugin file at a given path.
///
/// Call it in an integration test. It defines the test `conformance`, and the test `conformance_child`, which
/// is the child process in which the checks run. The library of the crate must be a cdylib:
///
/// ```toml
/// [lib]
/// crate-type = ["cdylib", "rlib"]
/// ```
#[macro_export]
macro_rules! conformance {
    () => {
        $crate::conformance!(@tests $crate::conformance::own_library(::core::env!("CARGO_PKG_NAME")));
    };
    (@tests $library:expr) => {
        /// Runs the conformance checks of the plugin interface.
        #[test]
        fn conformance() {
            let library = $library;
            if let ::core::result::Result::Err(report) =
                $crate::conformance::check(library, ::core::module_path!())
            {
                ::core::panic!("{report}");
            }
        }

        /// The child process in which the checks run. Returns at once in a normal test run.
        #[test]
        fn conformance_child() {
            $crate::conformance::child();
        }
    };
    ($path:expr) => {
        $crate::conformance!(@tests ::core::result::Result::Ok(::std::path::PathBuf::from($path)));
    };
}

/// Returns the path of the library of the package that this integration test belongs to.
///
/// # Errors
/// If the library does not exist. The message contains the remedy.
pub fn own_library(package: &str) -> Result<PathBuf, String> {
    let exe = std::env::current_exe().map_err(|e| format!("the path of this test is not known: {e}"))?;
    let folder = exe.parent().unwrap_or(Path::new("."));
    library_in(folder, package)
}

fn library_in(folder: &Path, package: &str) -> Result<PathBuf, String> {
    let name = format!(
        "{}{}{}",
        std::env::consts::DLL_PREFIX,
        package.replace('-', "_"),
        std::env::consts::DLL_SUFFIX
    );
    // Beside the test, which is the newer build, or one folder up, where cargo puts libraries that are built
    // by name.
    let places = [folder.join(&name), folder.join("..").join(&name)];
    places.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        format!(
            "{} does not exist. A plugin is a cdylib, and its tests also need an rlib; put this into its \
             Cargo.toml:\n\n\
             [lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n\n\
             (If `name` in [lib] differs from the name of the package, pass the path: conformance!(path).)",
            places[0].display()
        )
    })
}

/// Returns the program that runs the test `conformance_child` of a module in this test executable.
pub fn program(module: &str) -> Program {
    // The harness names tests without the crate.
    let test = match module.split_once("::") {
        Some((_, path)) => format!("{path}::conformance_child"),
        None => "conformance_child".to_owned(),
    };
    // Only this test, even if it is ignored, on the main thread, and without capturing its output.
    Program::this([test.as_str(), "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
}

/// Runs the checks on a library.
///
/// # Errors
/// If the library does not exist or cannot be checked, or if a check fails. The message then contains the
/// report and the commands that reproduce the failures.
pub fn check(library: Result<PathBuf, String>, module: &str) -> Result<Report, String> {
    let library = library?;
    let mut options = Options::default();
    if let Ok(seed) = std::env::var(SEED) {
        options.seed = seed.parse().map_err(|_| format!("{SEED}={seed} is not a whole number"))?;
    }
    if let Ok(only) = std::env::var(ONLY) {
        options.only = only.split(',').map(|name| name.trim().to_owned()).filter(|n| !n.is_empty()).collect();
    }
    let report = check_file(&library, &program(module), &options).map_err(|e| e.to_string())?;
    if report.passed() {
        return Ok(report);
    }
    let mut names: Vec<&str> = report.failures().map(|row| row.check.as_str()).collect();
    names.dedup();
    Err(format!(
        "the plugin breaks promises of the interface\n\n{report}\nor: {SEED}={} {ONLY}={} cargo test",
        options.seed,
        names.join(",")
    ))
}

/// Serves jobs if this process was started as the child process of [`program`]. Returns at once otherwise.
pub fn child() {
    if std::env::var_os(CHILD).is_some() {
        let ended = serve(answer);
        // A child that could not serve must be a failed test.
        assert!(ended == ExitCode::SUCCESS, "the child could not serve");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_for_a_missing_library_contains_the_remedy() {
        let why = library_in(Path::new("/nowhere/deps"), "my-plugin").unwrap_err();
        assert!(why.contains("libmy_plugin.so does not exist"), "{why}");
        assert!(why.contains("crate-type = [\"cdylib\", \"rlib\"]"), "{why}");
    }
}
