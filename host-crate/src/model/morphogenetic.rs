//! The model, composed of its parts.

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
use kasmina_plugin_api::abi::Variable;
use kasmina_plugin_api::{Capability, Mode};
use kasmina_registry::Entry;
use kasmina_torch_ext::{NamedParameter, norm};
use std::sync::Arc;
use tch::{Device, Tensor};

/// A host network with seeds in its slots. `Send`; one thread uses it at a time.
///
/// State that lasts between two steps: the variables of the network, the slots, the prefetched germinations
/// of `growth`, the trial in `swapping`, the step counter in `telemetry`, and the events. `structure` and
/// the cache of probes are derived from these. `consensus` keeps its own state.
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
    /// Runs the network, seeds included, and returns the logits.
    ///
    /// In [`Mode::Train`] every active seed runs, except one at alpha 0 with a scheduled prune. In
    /// [`Mode::Eval`] a seed at alpha 0 does not run, because it does not affect the output.
    ///
    /// # Shapes
    /// `x`: as the host requires, with a batch dimension first. Logits: as the host returns them.
    ///
    /// # Errors
    /// If the host, a seed or a blend fails or breaks the plugin contract.
    pub fn forward(&mut self, x: &Tensor, mode: Mode) -> Result<Tensor, ModelError> {
        let watch = mode == Mode::Train && self.telemetry.captures_now();
        if mode == Mode::Train && self.network.frozen.is_some() {
            self.network.measure_frozen(watch && self.measures_slots())?;
        }
        self.pass(x, Pass { watch, ..Pass::new(mode, self.telemetry.step()) })
    }

    /// Runs one forward of the network with the given settings; returns the logits.
    ///
    /// # Shapes
    /// As [`forward`](Self::forward).
    pub(super) fn pass(&mut self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor, ModelError> {
        let mode = pass.mode;
        let outlasts = self.outlasts_failed_blends(mode);
        let pass = Pass { outlasts_failed_blends: outlasts, ..pass };
        self.sync_alphas(mode)?;
        let _precision = self.network.precision_scope()?;
        let mut taps = self.slots.tap_handler(pass);
        let pulse = self.structure.pulse();
        let outside = pulse.enter(graft::HOST);
        let output = self.network.forward(x, mode, &mut taps);
        pulse.enter(outside);
        let (output, fault) = taps.finish(output);
        // A forward that has ended too early tells the other ranks by its error.
        if outlasts && output.is_ok() {
            self.agree_on_trial(fault.as_ref().map(|(_, fault)| fault))?;
        }
        self.swapping.note_fault(fault);
        let output =
            output.map_err(|error| ModelError::Forward { host: self.network.entry().full_name(), error })?;
        Ok(self.network.precision.cast_logits(output)?)
    }

    /// Writes the alphas of the lifecycles to the device. For use between steps only.
    pub(super) fn sync_alphas(&mut self, mode: Mode) -> Result<(), ModelError> {
        Ok(self.slots.sync_alphas(mode)?)
    }

    /// Measures gradients and counts a training step. Call it after backward and before the optimizer's step.
    ///
    /// Every `telemetry_interval` steps it queues the gradient norms of host and seeds on the device. Ramps
    /// that count steps advance. No host sync.
    ///
    /// # Errors
    /// If a libtorch call fails.
    pub fn capture_gradients(&mut self) -> Result<(), ModelError> {
        let measured = self.measure_gradients();
        self.end_step();
        measured
    }

    /// The part of [`capture_gradients`](Self::capture_gradients) that runs on the device and can be
    /// captured.
    pub(super) fn measure_gradients(&mut self) -> Result<(), ModelError> {
        if self.telemetry.captures_now() && self.measures_slots() {
            let host = self.network.gradient_norm()?;
            let device = self.network.device;
            for slot in self.slots.iter_mut().filter(|s| s.is_measured()) {
                slot.capture_gradients(host.as_ref(), device)?;
            }
            self.network.drop_frozen_gradients()?;
        }
        Ok(())
    }

    /// Returns the gradients of a frozen host if this step measures them.
    pub(super) fn measured_frozen_gradients(&self) -> Vec<Tensor> {
        if self.network.frozen.is_none() || !self.telemetry.captures_now() || !self.measures_slots() {
            return Vec::new();
        }
        let gradients = self.network.parameters.iter().map(|p| p.tensor.grad());
        gradients.filter(Tensor::defined).collect()
    }

    /// Whether the gradients of a seed are measured.
    fn measures_slots(&self) -> bool {
        self.slots.iter().any(SeedSlot::is_measured)
    }

    /// The part of [`capture_gradients`](Self::capture_gradients) that runs on the CPU in every step.
    pub(super) fn end_step(&mut self) {
        self.telemetry.end_step();
        self.slots.iter_mut().for_each(SeedSlot::tick);
    }

    /// Updates the structure revision after a change of the forward graph.
    pub(super) fn structure_changed(&mut self) {
        self.structure.changed(self.network.entry(), &self.slots);
    }

    /// Returns the tracker of the plugin call that the model's thread is in, for other threads to read.
    pub fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(self.structure.pulse())
    }

    /// Clears the gradients of all parameters.
    pub(super) fn clear_gradients(&self) -> Result<(), ModelError> {
        let all = self.host_parameters().chain(self.seed_parameters());
        Ok(norm::clear_gradients(all.map(|p| &p.tensor))?)
    }

    /// Returns why a host, seed or blend prevents the capture of training steps; `None` if none does.
    pub(super) fn not_capturable(&self) -> Option<String> {
        let host = self.network.entry();
        if host.declares(Capability::NotCapturable) {
            return Some(format!("host `{}` declares `not_capturable`", host.full_name()));
        }
        self.slots.iter().find_map(SeedSlot::not_capturable)
    }

    /// Returns the state bytes of all seeds and blends.
    pub(super) fn plugin_states(&self) -> Result<Vec<Vec<u8>>, ModelError> {
        let mut states = Vec::new();
        for live in self.slots.iter().filter_map(SeedSlot::live) {
            states.extend(live.states()?);
        }
        Ok(states)
    }

    /// Returns the owners of all trainable tensors. Computed on each call from host and slots, so it is never
    /// out of date.
    pub fn ownership(&self) -> ParameterRegistry {
        ParameterRegistry::of(&self.network.parameters, self.slots.as_slice())
    }

    /// Sets how ranks agree on decisions and returns the previous setting; the initial one is a single rank.
    pub fn set_consensus(&mut self, consensus: Box<dyn Consensus>) -> Box<dyn Consensus> {
        std::mem::replace(&mut self.consensus, consensus)
    }

    /// Returns the requested slots, in the order in which forward visits them.
    pub fn slots(&self) -> &[SeedSlot] {
        self.slots.as_slice()
    }

    /// Returns a slot, given its name or one of its aliases.
    pub fn slot(&self, name: &str) -> Option<&SeedSlot> {
        self.slots.iter().find(|s| s.answers_to(name))
    }

    /// Returns the host's trainable parameters, sorted by name (`host.<n>`).
    pub fn host_parameters(&self) -> impl Iterator<Item = &NamedParameter> {
        self.network.parameters.iter()
    }

    /// Returns all variables of the host, buffers included, sorted by name.
    ///
    /// # Errors
    /// If the host's plugin fails.
    pub fn host_variables(&self) -> Result<Vec<Variable>, ModelError> {
        Ok(self.network.variables()?)
    }

    /// Returns the trainable parameters of all seeds and blends, slot by slot, sorted by name within each.
    pub fn seed_parameters(&self) -> impl Iterator<Item = &NamedParameter> {
        self.slots.parameters()
    }

    /// Returns the registry entry of the host.
    pub fn host(&self) -> &Entry {
        self.network.entry()
    }
    /// Returns the device that the model is on.
    pub fn device(&self) -> Device {
        self.network.device
    }
    /// Returns the number of completed training steps.
    pub fn step(&self) -> u64 {
        self.telemetry.step()
    }

    /// Returns the events since the last [`drain_events`](Self::drain_events), oldest first.
    pub fn events(&self) -> &[Event] {
        self.events.as_slice()
    }

    /// Sets the listener for events, which replaces an earlier one. It is called after a command and at the
    /// end of an epoch. A listener that fails, or takes longer than one second, is dropped with a warning.
    pub fn set_event_sink(&mut self, sink: Option<Box<dyn EventSink>>) {
        self.events.set_listener(sink);
    }

    /// Removes and returns the events, oldest first.
    pub fn drain_events(&mut self) -> Vec<Event> {
        self.events.drain()
    }
}
