//! Output to the terminal and questions to its user.
//!
//! Names, paths and summaries come from files of other people. Their control characters are escaped here, so
//! that they cannot move the cursor, change colours or imitate a line of this program.

use kasmina_registry::plain;
use serde::Serialize;
use std::fmt::Arguments;
use std::io::{Error, ErrorKind, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};

/// The first error in writing to standard output. If there is one, the program exits with a failure, because
/// its output is incomplete.
static FAILED: Mutex<Option<Error>> = Mutex::new(None);

/// Prints a line to standard output.
macro_rules! outln {
    () => { $crate::terminal::out_line(format_args!("")) };
    ($($text:tt)*) => { $crate::terminal::out_line(format_args!($($text)*)) };
}

/// Prints a line to standard error.
macro_rules! errln {
    () => { $crate::terminal::err_line(format_args!("")) };
    ($($text:tt)*) => { $crate::terminal::err_line(format_args!($($text)*)) };
}

/// Writes one line to standard output.
pub(crate) fn out_line(text: Arguments<'_>) {
    write_out(&format!("{}\n", plain::one_line(&text.to_string())));
}

/// Writes several lines to standard output.
pub(crate) fn out(text: &str) {
    write_out(&plain::lines(text));
}

/// Writes a part of a text to standard output at once, such as one token of many. Line breaks and tabs stay.
pub(crate) fn out_part(text: &str) {
    let parts: Vec<_> = text.split('\t').map(plain::lines).collect();
    write_out(&parts.join("\t"));
    keep_error(std::io::stdout().flush());
}

/// Writes a value as indented JSON to standard output. Strings are escaped only as JSON requires.
///
/// # Errors
/// If the value cannot be serialized.
pub(crate) fn out_json(value: &impl Serialize) -> serde_json::Result<()> {
    let json = serde_json::to_string_pretty(value)?;
    write_out(&format!("{json}\n"));
    Ok(())
}

/// Writes a value as one line of JSON to standard output.
///
/// # Errors
/// If the value cannot be serialized.
pub(crate) fn out_json_line(value: &impl Serialize) -> serde_json::Result<()> {
    write_out(&format!("{}\n", serde_json::to_string(value)?));
    Ok(())
}

/// Writes one line to standard error. A write error is ignored, because there is no other place to report it.
pub(crate) fn err_line(text: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{}", plain::one_line(&text.to_string()));
}

/// Writes text to standard error without escaping it: the text may contain the colour codes of this program.
pub(crate) fn err_styled(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn write_out(text: &str) {
    keep_error(std::io::stdout().write_all(text.as_bytes()));
}

fn keep_error(written: std::io::Result<()>) {
    if let Err(error) = written {
        FAILED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Flushes standard output and returns the first error in writing to it. A closed pipe is not an error: its
/// reader has read what it needs.
pub(crate) fn finish() -> Option<Error> {
    keep_error(std::io::stdout().flush());
    let failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner).take();
    failed.filter(|error| error.kind() != ErrorKind::BrokenPipe)
}

/// Whether standard error is a terminal.
fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Whether the user can be asked a question: standard input and standard error are terminals.
pub(crate) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && stderr_is_terminal()
}

/// Whether standard error is a terminal that can move its cursor, as progress bars need: `TERM` is set and
/// not `dumb`.
pub(crate) fn stderr_can_redraw() -> bool {
    let kind = std::env::var_os("TERM").unwrap_or_default();
    stderr_is_terminal() && !kind.is_empty() && kind != "dumb"
}

/// Whether text on standard error is coloured. `NO_COLOR` switches colours off.
pub(crate) fn stderr_has_colours() -> bool {
    stderr_can_redraw() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Asks the user a question. Returns true for the answers `y` and `yes` only.
pub(crate) fn confirm(question: &str) -> bool {
    let _ = write!(std::io::stderr(), "{} [y/N] ", plain::one_line(question));
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok_and(|_| {
        let answer = answer.trim().to_lowercase();
        answer == "y" || answer == "yes"
    })
}
