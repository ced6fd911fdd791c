//! The morphogenetic model: a host network, its slots, and the one door through which structure changes.
//!
//! A training step is `forward` → loss → backward → [`capture_gradients`](MorphogeneticModel::capture_gradients)
//! → optimizer step. At the edge of an epoch:
//! [`forward_counterfactual`](MorphogeneticModel::forward_counterfactual) over the validation data,
//! [`record_epoch`](MorphogeneticModel::record_epoch), [`step_epoch`](MorphogeneticModel::step_epoch), then
//! [`Command`]s through [`execute`](MorphogeneticModel::execute).

mod build;
mod command;
mod counterfactual;
mod epoch;
mod error;
mod execute;
mod force;
mod germinate;
mod isolation;
mod nursery;
mod ownership;
mod prefetch;
mod relocate;
mod report;

pub use build::ModelConfig;
pub use command::{Command, Executed, Germinate};
pub use counterfactual::CounterfactualPlan;
pub use epoch::{EpochInputs, SlotInputs, SlotOutcomes};
pub use error::{CommandError, ModelError};
pub use force::ForcedAlpha;
pub use ownership::{Owner, OwnershipError, ParameterRegistry};
pub use report::SlotReport;

use crate::consensus::Consensus;
use crate::graft::{Grafting, Pass, SeedSlot};
use crate::lifecycle::{AlphaSettings, Event};
use kasmina_plugin_api::Mode;
use kasmina_plugin_api::abi::HostInstance;
use kasmina_registry::Entry;
use kasmina_torch_ext::{NamedParameter, norm};
use prefetch::Prefetch;
use std::collections::BTreeSet;
use tch::{Device, Tensor};

/// The owner name of the host's parameters in an optimizer.
pub const HOST_OWNER: &str = "host";

/// A host network with seeds in its slots. It may move between threads and is used by one at a time.
#[derive(Debug)]
pub struct MorphogeneticModel {
    host: HostInstance,
    host_entry: Entry,
    /// As it was given, to build the same again on another device.
    host_config: String,
    host_parameters: Vec<NamedParameter>,
    /// The slots that were asked for, in the order of forward.
    slots: Vec<SeedSlot>,
    /// For each of the host's taps, which slot was asked for there.
    taps: Vec<Option<usize>>,
    device: Device,
    seed: u64,
    step: u64,
    /// How alpha moves where a germination does not say otherwise.
    alpha: AlphaSettings,
    telemetry_interval: u64,
    isolation_check_interval: u64,
    fail_on_breach: bool,
    fast_mode: bool,
    events: Vec<Event>,
    /// Probes that were passed, by everything that they depend on.
    probed: BTreeSet<String>,
    prefetches: Vec<Prefetch>,
    consensus: Box<dyn Consensus>,
}

impl MorphogeneticModel {
    /// The network's output, seeds included.
    ///
    /// In [`Mode::Train`] every active seed runs; in [`Mode::Eval`] a seed at alpha 0 has nothing to say and is
    /// not run.
    ///
    /// # Shapes
    /// The task's: `x` as the host takes it, logits out.
    ///
    /// # Errors
    /// If the host or a seed fails, or breaks a promise.
    pub fn forward(&mut self, x: &Tensor, mode: Mode) -> Result<Tensor, ModelError> {
        let watch = mode == Mode::Train && self.captures_now();
        self.pass(x, Pass { mode, step: self.step, watch, overrides: &[], severed: None })
    }

    fn pass(&mut self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor, ModelError> {
        // The lifecycles move alpha; the device learns of it here, between two steps.
        for slot in &mut self.slots {
            slot.sync_alpha()?;
        }
        let mode = pass.mode;
        let mut grafting = Grafting::new(&mut self.slots, &self.taps, pass);
        let output = self.host.forward(x, mode, &mut grafting);
        grafting
            .finish(output)
            .map_err(|error| ModelError::Forward { host: self.host_entry.full_name(), error })
    }

    fn captures_now(&self) -> bool {
        !self.fast_mode && self.step.is_multiple_of(self.telemetry_interval)
    }

    /// Ends the gradient side of a step: every few steps it queues the gradient norms of host and learning seeds on
    /// the device, and ramps that count steps move on. Call it after backward and before the optimizer's step. No
    /// host sync.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn capture_gradients(&mut self) -> Result<(), ModelError> {
        let due = self.captures_now();
        self.step += 1;
        if due && self.slots.iter().any(SeedSlot::is_learning) {
            let host = norm::grad_norm(self.host_parameters.iter().map(|p| &p.tensor))?;
            for slot in self.slots.iter_mut().filter(|s| s.is_learning()) {
                slot.monitor.capture(host.as_ref(), self.device)?;
            }
        }
        self.slots.iter_mut().for_each(SeedSlot::tick);
        Ok(())
    }

    /// Lets several ranks decide together, and gives back what decided until now; at first that is one rank.
    pub fn set_consensus(&mut self, consensus: Box<dyn Consensus>) -> Box<dyn Consensus> {
        std::mem::replace(&mut self.consensus, consensus)
    }

    /// The slots that were asked for, in the order of forward.
    pub fn slots(&self) -> &[SeedSlot] {
        &self.slots
    }

    /// A slot by its name or one of its aliases.
    pub fn slot(&self, name: &str) -> Option<&SeedSlot> {
        self.slots.iter().find(|s| s.answers_to(name))
    }

    fn slot_index(&self, name: &str) -> Result<usize, CommandError> {
        self.slots.iter().position(|s| s.answers_to(name)).ok_or_else(|| CommandError::UnknownSlot {
            slot: name.to_owned(),
            known: self.slots.iter().map(|s| build::describe(s.spec())).collect(),
        })
    }

    /// The host's trainable parameters, sorted by name (`host.<n>`).
    pub fn host_parameters(&self) -> impl Iterator<Item = &NamedParameter> {
        self.host_parameters.iter()
    }

    /// The trainable parameters of all seeds and gates, slot by slot, sorted by name within each.
    pub fn seed_parameters(&self) -> impl Iterator<Item = &NamedParameter> {
        self.slots.iter().flat_map(SeedSlot::parameters)
    }

    /// Which host this is.
    pub fn host(&self) -> &Entry {
        &self.host_entry
    }
    /// Where it lives.
    pub fn device(&self) -> Device {
        self.device
    }
    /// Training steps so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Takes the events out, oldest first.
    pub fn drain_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

/// Elements of some parameters.
pub(crate) fn count<'a>(parameters: impl IntoIterator<Item = &'a NamedParameter>) -> u64 {
    parameters.into_iter().map(|p| p.tensor.numel() as u64).sum()
}
