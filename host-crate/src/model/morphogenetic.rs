//! The model as a composition of its parts.

use super::event_sink::EventSink;
use super::events::EventLog;
use super::growth::Growth;
use super::network::Network;
use super::slots::Slots;
use super::structure::Structure;
use super::swapping::Swapping;
use super::telemetry::Telemetry;
use super::{ModelError, ParameterRegistry};
use crate::consensus::Consensus;
use crate::graft::{self, Pass, Pulse, SeedSlot};
use crate::lifecycle::Event;
use kasmina_plugin_api::{Capability, Mode};
use kasmina_registry::Entry;
use kasmina_torch_ext::{NamedParameter, norm};
use std::sync::Arc;
use tch::{Device, Tensor};

/// A host network with seeds in its slots. It may move between threads and is used by one at a time.
///
/// What lasts between two steps: the network's variables, the slots, the growth's prefetches, what is on
/// trial in `swapping`, the step counter in `telemetry`, and the events. `structure` and what growth
/// remembers of probes are made of these; consensus belongs to whoever set it.
#[derive(Debug)]
pub struct MorphogeneticModel {
    pub(super) network: Network,
    pub(super) slots: Slots,
    pub(super) growth: Growth,
    pub(super) swapping: Swapping,
    pub(super) telemetry: Telemetry,
    pub(super) structure: Structure,
    pub(super) events: EventLog,
    pub(super) consensus: Box<dyn Consensus>,
}

impl MorphogeneticModel {
    /// The network's output, seeds included.
    ///
    /// In [`Mode::Train`] every active seed runs; in [`Mode::Eval`] a seed at alpha 0 has nothing to say and
    /// is not run.
    ///
    /// # Shapes
    /// The task's: `x` as the host takes it, logits out.
    ///
    /// # Errors
    /// If the host or a seed fails, or breaks a promise.
    pub fn forward(&mut self, x: &Tensor, mode: Mode) -> Result<Tensor, ModelError> {
        let watch = mode == Mode::Train && self.telemetry.captures_now();
        self.pass(x, Pass { mode, step: self.telemetry.step(), watch, overrides: &[], severed: None })
    }

    pub(super) fn pass(&mut self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor, ModelError> {
        let mode = pass.mode;
        self.sync_alphas(mode)?;
        let _precision = self.network.precision_scope()?;
        let mut grafting = self.slots.graft(pass);
        let pulse = self.structure.pulse();
        let outside = pulse.enter(graft::HOST);
        let output = self.network.forward(x, mode, &mut grafting);
        pulse.enter(outside);
        let (output, fault) = grafting.finish(output);
        self.swapping.note_fault(fault);
        let output =
            output.map_err(|error| ModelError::Forward { host: self.network.entry().full_name(), error })?;
        Ok(self.network.precision.settled(output)?)
    }

    /// Writes the alphas of the lifecycles to the device, between two steps.
    pub(super) fn sync_alphas(&mut self, mode: Mode) -> Result<(), ModelError> {
        Ok(self.slots.sync_alphas(mode)?)
    }

    /// Ends the gradient side of a step: every few steps it queues the gradient norms of host and learning
    /// seeds on the device, and ramps that count steps move on. Call it after backward and before the
    /// optimizer's step. No host sync.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn capture_gradients(&mut self) -> Result<(), ModelError> {
        let measured = self.measure_gradients();
        self.end_step();
        measured
    }

    /// The device's half of [`capture_gradients`](Self::capture_gradients).
    pub(super) fn measure_gradients(&mut self) -> Result<(), ModelError> {
        if self.telemetry.captures_now() && self.slots.iter().any(SeedSlot::is_learning) {
            let host = self.network.gradient_norm()?;
            let device = self.network.device;
            for slot in self.slots.iter_mut().filter(|s| s.is_learning()) {
                slot.capture_gradients(host.as_ref(), device)?;
            }
        }
        Ok(())
    }

    /// The host's half of [`capture_gradients`](Self::capture_gradients).
    pub(super) fn end_step(&mut self) {
        self.telemetry.end_step();
        self.slots.iter_mut().for_each(SeedSlot::tick);
    }

    /// Takes note that the forward graph has changed.
    pub(super) fn restructured(&mut self) {
        self.structure.changed(self.network.entry(), &self.slots);
    }

    /// Which call this model's thread is in, for other threads to see.
    pub fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(self.structure.pulse())
    }

    /// Clears the gradients of all parameters.
    pub(super) fn clear_gradients(&self) -> Result<(), ModelError> {
        let all = self.host_parameters().chain(self.seed_parameters());
        Ok(norm::clear_gradients(all.map(|p| &p.tensor))?)
    }

    /// Why a training step cannot be recorded, if an entry that runs says so.
    pub(super) fn not_capturable(&self) -> Option<String> {
        let host = self.network.entry();
        if host.declares(Capability::NotCapturable) {
            return Some(format!("host `{}` declares `not_capturable`", host.full_name()));
        }
        self.slots.iter().find_map(SeedSlot::not_capturable)
    }

    /// The state bytes of all living seeds and blends.
    pub(super) fn plugin_states(&self) -> Result<Vec<Vec<u8>>, ModelError> {
        let mut states = Vec::new();
        for live in self.slots.iter().filter_map(SeedSlot::live) {
            states.extend(live.states()?);
        }
        Ok(states)
    }

    /// Who owns which trainable tensor, as it is now. Made of what lives each time it is asked for: there is
    /// no second list to keep true.
    pub fn ownership(&self) -> ParameterRegistry {
        ParameterRegistry::of(&self.network.parameters, self.slots.as_slice())
    }

    /// Lets several ranks decide together, and returns what decided until now; at first that is one rank.
    pub fn set_consensus(&mut self, consensus: Box<dyn Consensus>) -> Box<dyn Consensus> {
        std::mem::replace(&mut self.consensus, consensus)
    }

    /// The slots that were asked for, in the order of forward.
    pub fn slots(&self) -> &[SeedSlot] {
        self.slots.as_slice()
    }

    /// A slot by its name or one of its aliases.
    pub fn slot(&self, name: &str) -> Option<&SeedSlot> {
        self.slots.iter().find(|s| s.answers_to(name))
    }

    /// The host's trainable parameters, sorted by name (`host.<n>`).
    pub fn host_parameters(&self) -> impl Iterator<Item = &NamedParameter> {
        self.network.parameters.iter()
    }

    /// The trainable parameters of all seeds and gates, slot by slot, sorted by name within each.
    pub fn seed_parameters(&self) -> impl Iterator<Item = &NamedParameter> {
        self.slots.parameters()
    }

    /// Registry entry of the host.
    pub fn host(&self) -> &Entry {
        self.network.entry()
    }
    /// Device that the model is on.
    pub fn device(&self) -> Device {
        self.network.device
    }
    /// Training steps that were completed.
    pub fn step(&self) -> u64 {
        self.telemetry.step()
    }

    /// What has happened since the events were last taken out.
    pub fn events(&self) -> &[Event] {
        self.events.as_slice()
    }

    /// Sets who hears of events as they happen, in place of an earlier listener. It is called when a command
    /// was executed and at the edge of an epoch; one that fails, or takes longer than a second, is dropped
    /// with a warning.
    pub fn set_event_sink(&mut self, sink: Option<Box<dyn EventSink>>) {
        self.events.listen(sink);
    }

    /// Takes the events out, oldest first.
    pub fn drain_events(&mut self) -> Vec<Event> {
        self.events.drain()
    }
}
