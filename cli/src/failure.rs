//! How a failure is told: what, where, and what to do.

use kasmina_registry::RegistryError;
use kasmina_trainer::TrainError;
use miette::{Diagnostic, MietteHandlerOpts};
use std::fmt::Display;
use std::io::IsTerminal;

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
        Self { message: message.to_string(), help: None }
    }

    pub(crate) fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Self {
        Self { message: error.to_string(), help: error.help() }
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self { message: error.to_string(), help: error.help() }
    }
}

/// Plain and unwrapped where nobody looks, so that logs can be searched.
pub(crate) fn install_handler() {
    let person = std::io::stderr().is_terminal();
    // Fails only if a handler is set already, and this is the one place that sets one.
    let _ = miette::set_hook(Box::new(move |_| {
        let mut options = MietteHandlerOpts::new().terminal_links(false).context_lines(0);
        if !person {
            options = options.unicode(false).color(false).width(10_000);
        }
        Box::new(options.build())
    }));
}
