//! Runs other programs.

use std::env;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::{Error, Result, bail};

/// Command for the cargo that runs this program, with `--locked`: it never changes `Cargo.lock`.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg("--locked");
    cargo
}

/// Runs `command` to its end. Returns an error that names the command unless it succeeds.
pub(crate) fn check(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if status.success() { Ok(()) } else { bail!("`{}` failed ({status})", describe(command)) }
}

/// Runs `command` to its end and returns its exit status.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command.status().map_err(|error| start_error(command, error))
}

/// Replaces this process by `command`, so that exit code, signals and terminal are those of the command.
/// Returns only if the command cannot be started.
pub(crate) fn become_program(command: &mut Command) -> Error {
    let error = command.exec();
    start_error(command, error)
}

/// Exit code that a shell would report: 128 + N for signal N.
pub(crate) fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

/// First executable named `name` on PATH. A name with several components is taken as a path.
pub(crate) fn on_path(name: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let executable = |path: &PathBuf| {
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if name.components().count() > 1 {
        return Some(name.to_owned()).filter(executable);
    }
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(executable)
}

/// Error for a command that could not be started.
fn start_error(command: &Command, error: std::io::Error) -> Error {
    Error::new(error).context(format!("cannot run `{}`", describe(command)))
}

/// Program name without its folder, and arguments, separated by spaces.
fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod spec {
    use super::{check, code, describe, on_path, status};
    use std::path::Path;
    use std::process::Command;

    #[test]
    fn exit_codes_are_those_of_a_shell() -> anyhow::Result<()> {
        assert_eq!(code(status(Command::new("sh").args(["-c", "exit 7"]))?), 7);
        assert_eq!(code(status(Command::new("sh").args(["-c", "kill -9 $$"]))?), 137);
        Ok(())
    }

    #[test]
    fn a_failure_names_the_program_without_its_directory() {
        let Err(error) = check(Command::new("/bin/sh").args(["-c", "exit 3"])) else { panic!("must fail") };
        assert_eq!(error.to_string(), "`sh -c exit 3` failed (exit status: 3)");
        assert_eq!(describe(&Command::new("/usr/bin/cargo")), "cargo");
    }

    #[test]
    fn programs_are_found_by_name_and_by_path() {
        assert!(on_path(Path::new("sh")).is_some());
        assert!(on_path(Path::new("/bin/sh")).is_some());
        assert!(on_path(Path::new("no-such-program")).is_none());
    }
}
