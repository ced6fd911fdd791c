//! The binary started through a shell, which first changes what a program inherits: ignored signals, limits,
//! rights.

use std::process::Command;

/// The same command with its arguments, folder and environment, started by `sh -c SCRIPT`. The script runs
/// the command as `"$@"`; what of its own it must know stands in `arguments`, which come before, as `$1` and
/// so on.
pub fn in_shell(command: &Command, script: &str, arguments: &[&std::ffi::OsStr]) -> Command {
    around(Command::new("sh"), command, script, arguments)
}

/// The same, where another program starts the shell (`unshare`, with options of its own).
pub fn around(
    mut starter: Command,
    command: &Command,
    script: &str,
    arguments: &[&std::ffi::OsStr],
) -> Command {
    starter.args(["-c", script, "sh"]).args(arguments);
    starter.arg(command.get_program()).args(command.get_args());
    starter.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    for (key, value) in command.get_envs() {
        starter.env(key, value.unwrap_or_default());
    }
    if let Some(folder) = command.get_current_dir() {
        starter.current_dir(folder);
    }
    starter
}
