//! The trait of controllers, and what a controller observes.

use crate::signals;
use kasmina::model::Germinate;
use kasmina::{Command, SlotReport};
use serde_json::Value;

/// State of a run after an epoch, from which a controller decides.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// Number of epochs that were trained.
    pub epoch: u32,
    /// Number of epochs of the whole run.
    pub max_epochs: u32,
    /// Validation accuracy of the network, in percent.
    pub accuracy: f64,
    /// Reports of all slots, in the order in which the host's forward visits them.
    pub slots: &'a [SlotReport],
    /// Number of seeds that have germinated in this run.
    pub germinated: u32,
    /// Number of trainable parameters of the host.
    pub host_parameters: u64,
}

impl Observation<'_> {
    /// Returns the features of every slot, for a learned controller. Their names are [`signals::FEATURES`].
    pub fn features(&self) -> Vec<[f64; signals::FEATURES.len()]> {
        let all = self.host_parameters + self.slots.iter().map(|s| s.parameters).sum::<u64>();
        self.slots.iter().map(|slot| signals::features(slot, self.max_epochs, all)).collect()
    }
}

/// Decides once after each epoch which commands the run executes.
pub trait Controller {
    /// Returns the id of the controller in configurations.
    fn id(&self) -> &'static str;
    /// Returns the germinations that the controller may give for these slots. They are built once before the
    /// run starts, so that one that is impossible is an error at the start.
    fn rehearsals(&self, slots: &[String]) -> Vec<Germinate>;
    /// Returns the fewest epochs in which a seed can reach HOLDING, if the controller does not germinate in
    /// shorter runs. The run warns if it is shorter.
    fn shortest_run(&self) -> Option<u32> {
        None
    }
    /// Returns the state between two decisions, for checkpoints; `null` if there is none.
    fn state(&self) -> Value {
        Value::Null
    }
    /// Restores a state that [`state`](Self::state) returned.
    ///
    /// # Errors
    /// Returns the reason if the state cannot be read.
    fn restore(&mut self, state: &Value) -> Result<(), String> {
        if state.is_null() {
            Ok(())
        } else {
            Err(format!("it has no state, but the checkpoint contains {state}"))
        }
    }
    /// Returns the commands to execute before the next epoch.
    fn decide(&mut self, observation: &Observation<'_>) -> Vec<Command>;
}
