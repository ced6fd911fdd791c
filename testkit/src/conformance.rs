//! The kit inside an author's `cargo test`.

use crate::run::{Options, check_file};
use crate::{answer, report::Report};
use kasmina_registry::child::{Program, serve};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Set for the test that is a child: it serves instead of returning at once.
const CHILD: &str = "KASMINA_CONFORMANCE_CHILD";
/// What everything random comes from, so that a failure can be had again; and some checks alone.
const SEED: &str = "KASMINA_CONFORMANCE_SEED";
const ONLY: &str = "KASMINA_CONFORMANCE_ONLY";

/// Checks the plugin that the crate of this integration test builds, or the file at a given path.
///
/// It makes two tests: the check, and the child in which every check runs. The crate's library must be a
/// cdylib:
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
        /// Every promise of the plugin interface.
        #[test]
        fn conformance() {
            let library = $library;
            if let ::core::result::Result::Err(report) =
                $crate::conformance::check(library, ::core::module_path!())
            {
                ::core::panic!("{report}");
            }
        }

        /// Where the checks run; returns at once unless it was started for that.
        #[test]
        fn conformance_child() {
            $crate::conformance::child();
        }
    };
    ($path:expr) => {
        $crate::conformance!(@tests ::core::result::Result::Ok(::std::path::PathBuf::from($path)));
    };
}

/// The library of the crate whose integration test this is.
///
/// # Errors
/// If it is not there, with what to do.
pub fn own_library(package: &str) -> Result<PathBuf, String> {
    let exe = std::env::current_exe().map_err(|e| format!("this test does not know where it lies: {e}"))?;
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
    // Beside the test, and one up where cargo puts what was asked for by name; the test's own build is the
    // newer one.
    let places = [folder.join(&name), folder.join("..").join(&name)];
    places.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        format!(
            "{} is not there. A plugin is a cdylib, and its tests need it as an rlib too; put this into its Cargo.toml:\n\n\
             [lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n\n\
             (A `name` in [lib] other than the package's must be given by path: conformance!(path).)",
            places[0].display()
        )
    })
}

/// The program that runs the child test of a module of this test executable.
pub fn program(module: &str) -> Program {
    // The test's path has no crate name.
    let test = match module.split_once("::") {
        Some((_, path)) => format!("{path}::conformance_child"),
        None => "conformance_child".to_owned(),
    };
    // Ignored or not, alone, on the main thread, and with nothing caught by the harness.
    Program::this([test.as_str(), "--exact", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
}

/// Runs every check.
///
/// # Errors
/// A table with what failed, and how to have it again.
pub fn check(library: Result<PathBuf, String>, module: &str) -> Result<Report, String> {
    let library = library?;
    let mut options = Options::default();
    if let Ok(seed) = std::env::var(SEED) {
        options.seed = seed.parse().map_err(|_| format!("{SEED}={seed} is no whole number"))?;
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

/// The child's side: serves if this process was started for that.
pub fn child() {
    if std::env::var_os(CHILD).is_some() {
        let ended = serve(answer);
        // To the harness a child that could not serve is a test that failed.
        assert!(ended == ExitCode::SUCCESS, "the child could not serve");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_missing_is_told_with_the_remedy() {
        let why = library_in(Path::new("/nowhere/deps"), "my-plugin").unwrap_err();
        assert!(why.contains("libmy_plugin.so is not there"), "{why}");
        assert!(why.contains("crate-type = [\"cdylib\", \"rlib\"]"), "{why}");
    }
}
