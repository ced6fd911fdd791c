//! The morphogenetic model: a host network, its slots, and the one door through which structure changes.
//!
//! A training step is `forward` → loss → backward → [`capture_gradients`](MorphogeneticModel::capture_gradients)
//! → optimizer step; a [`Stepper`] takes it whole, and on a GPU as one launch. (A loop of one's own on a GPU, beside a thread
//! whose stepper may be recording, holds [`kasmina_torch_ext::cuda::graph::backward`] around its backward.) At the edge of an
//! epoch:
//! [`forward_counterfactual`](MorphogeneticModel::forward_counterfactual) over the validation data,
//! [`record_epoch`](MorphogeneticModel::record_epoch), [`step_epoch`](MorphogeneticModel::step_epoch), then
//! [`Command`]s through [`execute`](MorphogeneticModel::execute).

mod build;
mod command;
mod contain;
mod counterfactual;
mod epoch;
mod error;
mod exchange;
mod execute;
mod force;
mod germinate;
mod isolation;
mod nursery;
mod ownership;
mod precision;
mod prefetch;
mod relocate;
mod report;
mod step;
mod still;
mod swap;

pub use build::ModelConfig;
pub use command::{Command, Executed, Germinate};
pub use contain::{PanicPolicies, PanicPolicy};
pub use counterfactual::CounterfactualPlan;
pub use epoch::{EpochInputs, Intervene, Intervention, SlotInputs, SlotOutcomes};
pub use error::{CommandError, ModelError};
pub use force::ForcedAlpha;
pub use ownership::{Owner, OwnershipError, ParameterRegistry};
pub use precision::Precision;
pub use report::SlotReport;
pub use step::{Loss, StepCounts, Stepper};
pub use swap::{Recovered, TrialSettings};

use crate::consensus::Consensus;
use crate::graft::{self, Fault, Grafting, Mark, Pass, Pulse, Queued, SeedSlot};
use crate::lifecycle::{AlphaSettings, Event};
use kasmina_plugin_api::abi::HostInstance;
use kasmina_plugin_api::{Capability, Layout, Mode};
use kasmina_registry::Entry;
use kasmina_torch_ext::{NamedParameter, norm};
use prefetch::Prefetch;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use swap::OnTrial;
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
    /// Of the host's forward, per sample.
    host_multiply_adds: u64,
    /// How its features lie in memory.
    layout: Layout,
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
    precision: Precision,
    /// Another number after every change of what forward consists of; no two models have the same.
    structure: u64,
    events: Vec<Event>,
    /// Probes that were passed, by everything that they depend on.
    /// What has passed its probe, and the multiply-adds that it takes per sample.
    probed: BTreeMap<String, u64>,
    prefetches: Vec<Prefetch>,
    trial: TrialSettings,
    on_trial: Option<OnTrial>,
    on_panic: PanicPolicies,
    pulse: Arc<Pulse>,
    /// The call that ended the last forward, if one did: its slot, and whose it was.
    fault: Option<(usize, Fault)>,
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
        let mode = pass.mode;
        self.sync_alphas(mode)?;
        let _precision = self.precision.scope(self.device)?;
        let mut grafting = Grafting::new(&mut self.slots, &self.taps, pass);
        let outside = self.pulse.enter(graft::HOST);
        let output = self.host.forward(x, mode, &mut grafting);
        self.pulse.enter(outside);
        let (output, fault) = grafting.finish(output);
        self.fault = fault;
        let output =
            output.map_err(|error| ModelError::Forward { host: self.host_entry.full_name(), error })?;
        self.precision.settled(output)
    }

    /// The lifecycles move alpha; the device learns of it here, between two steps.
    fn sync_alphas(&mut self, mode: Mode) -> Result<(), ModelError> {
        self.slots.iter_mut().try_for_each(|slot| slot.sync_alpha(mode)).map_err(Into::into)
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
        let measured = self.measure_gradients();
        self.end_step();
        measured
    }

    /// The device's half of it.
    fn measure_gradients(&mut self) -> Result<(), ModelError> {
        if self.captures_now() && self.slots.iter().any(SeedSlot::is_learning) {
            let host = norm::grad_norm(self.host_parameters.iter().map(|p| &p.tensor))?;
            for slot in self.slots.iter_mut().filter(|s| s.is_learning()) {
                slot.monitor.capture(host.as_ref(), self.device)?;
            }
        }
        Ok(())
    }

    /// The host's half.
    fn end_step(&mut self) {
        self.step += 1;
        self.slots.iter_mut().for_each(SeedSlot::tick);
    }

    /// What forward consists of has changed.
    fn restructured(&mut self) {
        self.structure = next_structure();
        let mut names = std::collections::BTreeMap::from([(
            graft::HOST,
            format!("host `{}`", self.host_entry.full_name()),
        )]);
        for (index, slot) in self.slots.iter().enumerate() {
            let Some((blueprint, blend)) = slot.entries() else { continue };
            let name = |part: &str, entry: &Entry| {
                format!("{part} `{}` in slot `{}`", entry.full_name(), slot.name())
            };
            names.insert(Pulse::code(index, false), name("seed of", blueprint));
            names.insert(Pulse::code(index, true), name("blend", blend));
        }
        self.pulse.rename(names);
    }

    /// What this model's thread is in, for other threads to see.
    pub fn pulse(&self) -> Arc<Pulse> {
        Arc::clone(&self.pulse)
    }

    /// How much each slot has queued.
    fn marks(&self) -> Vec<Mark> {
        self.slots.iter().map(|slot| slot.monitor.mark()).collect()
    }

    /// Takes out what each slot has queued since.
    fn split_off(&mut self, marks: &[Mark]) -> Vec<Queued> {
        self.slots.iter_mut().zip(marks).map(|(slot, mark)| slot.monitor.split_off(*mark)).collect()
    }

    /// Queues copies of what a recorded step has measured.
    fn queue_copies(&mut self, queued: &[Queued]) -> Result<(), ModelError> {
        let mut slots = self.slots.iter_mut().zip(queued);
        slots.try_for_each(|(slot, queued)| slot.monitor.queue_copies(queued)).map_err(Into::into)
    }

    /// Drops all gradients.
    fn clear_gradients(&self) -> Result<(), ModelError> {
        let all = self.host_parameters.iter().chain(self.seed_parameters());
        Ok(norm::clear_gradients(all.map(|p| &p.tensor))?)
    }

    /// Why a training step cannot be recorded, if an entry that runs says so.
    fn not_capturable(&self) -> Option<String> {
        let declares = |entry: &Entry| entry.declares(Capability::NotCapturable);
        if declares(&self.host_entry) {
            return Some(format!("host `{}` declares `not_capturable`", self.host_entry.full_name()));
        }
        self.slots.iter().find_map(|slot| {
            let live = slot.live.as_ref().filter(|_| slot.lifecycle.stage().is_active())?;
            if live.stream.is_some() {
                return Some(format!(
                    "{} draws random numbers from a stream of its own",
                    live.origin.blueprint.full_name()
                ));
            }
            let entry = [&live.origin.blueprint, &live.origin.blend].into_iter().find(|e| declares(e))?;
            Some(format!("{} `{}` declares `not_capturable`", entry.kind(), entry.full_name()))
        })
    }

    /// What the living plugins would write into a checkpoint.
    fn plugin_states(&self) -> Result<Vec<Vec<u8>>, ModelError> {
        let mut states = Vec::new();
        for live in self.slots.iter().filter_map(|slot| slot.live.as_ref()) {
            states.extend([live.seed.state()?, live.blend.state()?]);
        }
        Ok(states)
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

    /// What has happened since the events were last taken out.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Takes the events out, oldest first.
    pub fn drain_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}

/// A number that no structure has had.
fn next_structure() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Elements of some parameters.
pub(crate) fn count<'a>(parameters: impl IntoIterator<Item = &'a NamedParameter>) -> u64 {
    parameters.into_iter().map(|p| p.tensor.numel() as u64).sum()
}
