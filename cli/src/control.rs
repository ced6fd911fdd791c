//! `kasmina control`, and the request of `kasmina plugins swap` to a live run.

use crate::args::{ControlArgs, ControlVerb};
use crate::failure::Failure;
use crate::terminal;
use kasmina_trainer::control::{ControlError, Request, ask};
use std::path::Path;

pub(crate) fn run(args: &ControlArgs) -> Result<(), Failure> {
    let request = match &args.verb {
        ControlVerb::Status => Request::Status,
        ControlVerb::Pause => Request::Pause,
        ControlVerb::Resume => Request::Resume,
        ControlVerb::Prune { slot } => Request::Prune { slot: slot.clone() },
        ControlVerb::Stop => Request::Stop,
    };
    send(&args.run, &request)
}

/// Sends a request to a live run and prints the answer as JSON.
pub(crate) fn send(run: &Path, request: &Request) -> Result<(), Failure> {
    let answer = ask(run, request)?;
    terminal::out_json(&answer)?;
    Ok(())
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        let failure = Self::new(&error);
        match error {
            ControlError::NotLive { .. } => {
                failure.with_help("pass the directory of a run whose `kasmina train` is still running")
            }
            ControlError::Refused { help: Some(help), .. } => failure.with_help(help),
            _ => failure,
        }
    }
}
