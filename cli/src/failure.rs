//! The error type of all commands, and how it is printed.

use crate::terminal;
use kasmina_registry::{RegistryError, plain};
use kasmina_trainer::TrainError;
use miette::{Diagnostic, MietteHandlerOpts};
use std::fmt::Display;

/// An error with an optional help line.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    message: String,
    help: Option<String>,
}

impl Diagnostic for Failure {
    fn help<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn Display + 'a>)
    }
}

impl Failure {
    pub(crate) fn new(message: impl Display) -> Self {
        Self::of(message, None)
    }

    pub(crate) fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(plain::lines(&help.into()).into_owned()), ..self }
    }

    /// Prints the failure to standard error.
    pub(crate) fn print(&self) {
        terminal::err_styled(&format!(
            "{:?}",
            miette::Report::new(Self { message: self.message.clone(), help: self.help.clone() })
        ));
    }

    /// Escapes control characters: a message quotes names and paths of other people's files.
    fn of(message: impl Display, help: Option<String>) -> Self {
        let message = plain::lines(&message.to_string()).into_owned();
        Self { message, help: help.map(|help| plain::lines(&help).into_owned()) }
    }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        Self::of(&error, error.help())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(error)
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::of(&error, error.help())
    }
}

/// Installs the handler that prints failures. If standard error is no terminal, the text is ASCII and not
/// wrapped, so that logs can be searched.
pub(crate) fn install_handler() {
    let (is_terminal, colours) = (terminal::stderr_can_redraw(), terminal::stderr_has_colours());
    // Fails only if a handler is set already, and this is the only place that sets one.
    let _ = miette::set_hook(Box::new(move |_| {
        let mut options = MietteHandlerOpts::new().terminal_links(false).context_lines(0);
        if !is_terminal {
            options = options.unicode(false).width(10_000);
        }
        options = options.color(colours);
        Box::new(options.build())
    }));
}
