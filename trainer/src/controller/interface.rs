//! What a controller is: it sees the slots at the edge of an epoch and asks for commands.

use crate::signals;
use kasmina::model::Germinate;
use kasmina::{Command, SlotReport};
use serde_json::Value;

/// State of the run that a controller decides by.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// Epochs that were trained.
    pub epoch: u32,
    /// Epochs that the run is to have.
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

/// Gives commands to the model, once after each epoch.
pub trait Controller {
    /// Id of the controller, as configurations name it.
    fn id(&self) -> &'static str;
    /// The germinations that it may ask for in these slots: they are tried before the run begins, so that one
    /// that cannot be made is an error at its start.
    fn rehearsals(&self, slots: &[String]) -> Vec<Germinate>;
    /// The fewest epochs in which a run with it can see a seed through, if it holds back in a shorter one.
    fn shortest_run(&self) -> Option<u32> {
        None
    }
    /// What lasts between two decisions, for checkpoints; `null` where nothing does.
    fn state(&self) -> Value {
        Value::Null
    }
    /// Goes on from a state that this controller has told.
    ///
    /// # Errors
    /// If it cannot be read; the text says why.
    fn restore(&mut self, state: &Value) -> Result<(), String> {
        if state.is_null() { Ok(()) } else { Err(format!("it keeps no state, the checkpoint has {state}")) }
    }
    /// Commands to carry out before the next epoch.
    fn decide(&mut self, observation: &Observation<'_>) -> Vec<Command>;
}
