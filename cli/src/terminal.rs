//! Everything that is printed, and everything that is asked of the terminal.
//!
//! Names, paths and summaries come from files of other people. What they bring that acts on a terminal is
//! escaped here, so that no text of theirs can move the cursor, change colours or look like a line of this
//! program.

use kasmina_registry::plain;
use serde::Serialize;
use std::fmt::Arguments;
use std::io::{Error, ErrorKind, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};

/// The first error in writing to standard output. The program ends with a failure then, because its output is
/// incomplete.
static FAILED: Mutex<Option<Error>> = Mutex::new(None);

/// A line on standard output.
macro_rules! outln {
    () => { $crate::terminal::out_line(format_args!("")) };
    ($($text:tt)*) => { $crate::terminal::out_line(format_args!($($text)*)) };
}

/// A line on standard error.
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

/// Writes a value as JSON to standard output. Its texts are not escaped further than JSON does: a program
/// reads them.
///
/// # Errors
/// If it cannot be written as JSON.
pub(crate) fn out_json(value: &impl Serialize) -> serde_json::Result<()> {
    let json = serde_json::to_string_pretty(value)?;
    write_out(&format!("{json}\n"));
    Ok(())
}

/// Writes a value as JSON in one line to standard output.
///
/// # Errors
/// If it cannot be written as JSON.
pub(crate) fn out_json_line(value: &impl Serialize) -> serde_json::Result<()> {
    write_out(&format!("{}\n", serde_json::to_string(value)?));
    Ok(())
}

/// Writes one line to standard error. An error is ignored, because there is no other place to report it.
pub(crate) fn err_line(text: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{}", plain::one_line(&text.to_string()));
}

/// Writes lines to standard error that this program has coloured itself.
pub(crate) fn err_drawn(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn write_out(text: &str) {
    keep(std::io::stdout().write_all(text.as_bytes()));
}

fn keep(written: std::io::Result<()>) {
    if let Err(error) = written {
        FAILED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Returns the first error in writing to standard output. A closed pipe is not an error: its reader wants no
/// more.
pub(crate) fn finish() -> Option<Error> {
    keep(std::io::stdout().flush());
    let failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner).take();
    failed.filter(|error| error.kind() != ErrorKind::BrokenPipe)
}

/// Whether a person reads standard error.
pub(crate) fn a_person_reads_errors() -> bool {
    std::io::stderr().is_terminal()
}

/// Whether a person can be asked a question.
pub(crate) fn a_person_answers() -> bool {
    std::io::stdin().is_terminal() && a_person_reads_errors()
}

/// Whether standard error is a terminal that can move its cursor. One whose kind is unknown, or `dumb`, gets
/// plain lines.
pub(crate) fn draws_on_errors() -> bool {
    let kind = std::env::var_os("TERM").unwrap_or_default();
    a_person_reads_errors() && !kind.is_empty() && kind != "dumb"
}

/// Whether standard error is coloured.
pub(crate) fn colours_errors() -> bool {
    draws_on_errors() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Asks a person; only `y` and `yes` mean yes.
pub(crate) fn ask(question: &str) -> bool {
    let _ = write!(std::io::stderr(), "{} [y/N] ", plain::one_line(question));
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok_and(|_| {
        let answer = answer.trim().to_lowercase();
        answer == "y" || answer == "yes"
    })
}
