//! Who decides when to grow. A controller sees the slots at the edge of an epoch and answers with commands; the
//! gates decide whether they are granted.

mod heuristic;
mod idle;
mod periodic;
mod scripted;
mod tending;

use crate::config::RunConfig;
use crate::error::TrainError;
use crate::signals;
use kasmina::model::Germinate;
use kasmina::{Command, SlotReport};

pub use heuristic::Heuristic;
pub use idle::Idle;
pub use periodic::Periodic;
pub use scripted::Scripted;

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
    /// Trainable parameters of the host.
    pub host_parameters: u64,
}

impl Observation<'_> {
    /// Every slot as numbers, for a learned controller; the names are [`signals::FEATURES`].
    pub fn features(&self) -> Vec<[f64; signals::FEATURES.len()]> {
        let all = self.host_parameters + self.slots.iter().map(|s| s.parameters).sum::<u64>();
        self.slots.iter().map(|slot| signals::features(slot, self.max_epochs, all)).collect()
    }
}

/// Decides once per epoch.
pub trait Controller {
    /// Its id.
    fn id(&self) -> &'static str;
    /// The germinations that it may ask for in these slots: they are tried before the run begins, so that one that
    /// cannot be made is an error at its start.
    fn rehearsals(&self, slots: &[String]) -> Vec<Germinate>;
    /// The fewest epochs in which a run with it can see a seed through, if it holds back in a shorter one.
    fn shortest_run(&self) -> Option<u32> {
        None
    }
    /// What should happen now.
    fn decide(&mut self, observation: &Observation<'_>) -> Vec<Command>;
}

/// The controllers there are.
pub const CONTROLLERS: [&str; 4] = ["heuristic", "none", "periodic", "scripted"];

/// Makes the controller that a configuration names.
///
/// # Errors
/// If there is no such controller, or its journal cannot be read.
pub fn make(config: &RunConfig) -> Result<Box<dyn Controller>, TrainError> {
    match config.controller.as_str() {
        "periodic" => Ok(Box::new(Periodic::new(config))),
        "heuristic" => Ok(Box::new(Heuristic::new(config))),
        "none" => Ok(Box::new(Idle)),
        "scripted" => match &config.script {
            Some(script) => Ok(Box::new(Scripted::read(script, config.epochs)?)),
            None => Err(TrainError::Setting {
                field: "script".to_owned(),
                reason: "the controller `scripted` needs a journal".to_owned(),
            }),
        },
        other => Err(TrainError::Unknown {
            what: "controller",
            name: other.to_owned(),
            known: CONTROLLERS.map(str::to_owned).to_vec(),
        }),
    }
}
