//! Controllers decide when to grow. A controller observes the slots at the end of each epoch and returns
//! commands; the gates decide whether the commands pass.

mod heuristic;
mod idle;
mod interface;
mod periodic;
mod scripted;
mod seed_policy;

use crate::config::RunConfig;
use crate::error::TrainError;

pub use heuristic::Heuristic;
pub use idle::Idle;
pub use interface::{Controller, Observation};
pub use periodic::Periodic;
pub use scripted::Scripted;

/// Ids of the controllers, sorted.
pub const CONTROLLERS: [&str; 4] = ["heuristic", "none", "periodic", "scripted"];

/// Creates the controller that a configuration names.
///
/// # Errors
/// If there is no such controller, or its script cannot be read.
pub fn make(config: &RunConfig) -> Result<Box<dyn Controller>, TrainError> {
    match config.controller.as_str() {
        "periodic" => Ok(Box::new(Periodic::new(config))),
        "heuristic" => Ok(Box::new(Heuristic::new(config))),
        "none" => Ok(Box::new(Idle)),
        "scripted" => match &config.script {
            Some(script) => Ok(Box::new(Scripted::read(script, config.epochs)?)),
            None => Err(TrainError::Setting {
                field: "script".to_owned(),
                reason: "the controller `scripted` needs a script".to_owned(),
            }),
        },
        other => Err(TrainError::Unknown {
            what: "controller",
            name: other.to_owned(),
            known: CONTROLLERS.map(str::to_owned).to_vec(),
        }),
    }
}
