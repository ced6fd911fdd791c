//! How a failure is told: what, where, and what to do.

use crate::terminal;
use kasmina_registry::{RegistryError, plain};
use kasmina_trainer::TrainError;
use miette::{Diagnostic, MietteHandlerOpts};
use std::fmt::Display;

/// A failure with its help line.
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

/// Plain and unwrapped where nobody looks, so that logs can be searched.
pub(crate) fn install_handler() {
    let (person, colours) = (terminal::draws_on_errors(), terminal::colours_errors());
    // Fails only if a handler is set already, and this is the one place that sets one.
    let _ = miette::set_hook(Box::new(move |_| {
        let mut options = MietteHandlerOpts::new().terminal_links(false).context_lines(0);
        if !person {
            options = options.unicode(false).width(10_000);
        }
        options = options.color(colours);
        Box::new(options.build())
    }));
}
