//! Starts a command through a shell, which first changes what the process inherits: ignored signals, limits,
//! permissions.

use std::process::Command;

/// Wraps a command, with its arguments, folder and environment, in `sh -c SCRIPT`. `arguments` come first, as
/// `$1` and so on: the script reads them, removes them with `shift`, and runs the command as `"$@"`.
pub fn in_shell(command: &Command, script: &str, arguments: &[&std::ffi::OsStr]) -> Command {
    around(Command::new("sh"), command, script, arguments)
}

/// Like [`in_shell`], with another program than `sh` as the starter (`unshare`, with options of its own),
/// which runs `-c SCRIPT`.
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
