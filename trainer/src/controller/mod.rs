//! Who decides when to grow. A controller sees the slots at the edge of an epoch and answers with commands; the
//! gates decide whether they are granted.

mod heuristic;
mod periodic;
mod tending;

use crate::config::RunConfig;
use crate::error::TrainError;
use kasmina::{Command, SlotReport};

pub use heuristic::Heuristic;
pub use periodic::Periodic;

/// What a controller sees.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// Epochs done.
    pub epoch: u32,
    /// Epochs of the run.
    pub max_epochs: u32,
    /// Validation accuracy of the whole network, percent.
    pub accuracy: f64,
    /// Every slot, in the order of forward.
    pub slots: &'a [SlotReport],
    /// Seeds that have germinated in this run.
    pub germinated: u32,
}

/// Decides once per epoch.
pub trait Controller {
    /// Its id.
    fn id(&self) -> &'static str;
    /// What should happen now.
    fn decide(&mut self, observation: &Observation<'_>) -> Vec<Command>;
}

/// The fewest epochs in which a run of this configuration can see a seed through.
pub fn shortest_run(config: &RunConfig) -> u32 {
    tending::Tending::new(config).shortest_run()
}

/// The controllers there are.
pub const CONTROLLERS: [&str; 2] = ["heuristic", "periodic"];

/// Makes the controller that a configuration names.
///
/// # Errors
/// If there is no such controller.
pub fn make(config: &RunConfig) -> Result<Box<dyn Controller>, TrainError> {
    match config.controller.as_str() {
        "periodic" => Ok(Box::new(Periodic::new(config))),
        "heuristic" => Ok(Box::new(Heuristic::new(config))),
        other => Err(TrainError::Unknown {
            what: "controller",
            name: other.to_owned(),
            known: CONTROLLERS.map(str::to_owned).to_vec(),
        }),
    }
}
