//! `kasmina control`, and the one question of `kasmina plugins` that goes to a live run.

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

/// Asks, and prints the answer.
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
                failure.with_help("name the directory of a `kasmina train` that is under way")
            }
            ControlError::Refused { help: Some(help), .. } => failure.with_help(help),
            _ => failure,
        }
    }
}
