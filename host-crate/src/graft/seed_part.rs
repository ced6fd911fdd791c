//! The seed module in a slot.

use super::failure::RebuildError;
use super::layout;
use super::parameters::{copy_all_variables, seed_group, trainable};
use crate::state::{LiveState, PartState, RestoredTensors, StateError, StateTensors, copy_all};
use kasmina_plugin_api::abi::SeedInstance;
use kasmina_plugin_api::{PluginError, Site};
use kasmina_registry::Entry;
use kasmina_torch_ext::NamedParameter;
use kasmina_torch_ext::rng::{RngState, RngStream};

/// An instance of a blueprint in a slot, with its parameters.
#[derive(Debug)]
pub(crate) struct SeedPart {
    pub(super) entry: Entry,
    /// Configuration that the seed was built with, kept to build it again on another device.
    pub(super) config: String,
    pub(super) instance: SeedInstance,
    /// Trainable parameters, named `slot.<slot>.seed.<n>` and sorted by name.
    pub(super) parameters: Vec<NamedParameter>,
    /// Random numbers of a stochastic seed; `None` for any other.
    pub(super) stream: Option<RngStream>,
    /// Multiply-adds of one forward, per sample, as counted by the probe.
    pub(super) multiply_adds: u64,
}

impl SeedPart {
    /// Wraps a fresh instance for the slot of this name at this site.
    pub(crate) fn new(
        slot: &str,
        site: &Site,
        entry: Entry,
        config: String,
        instance: SeedInstance,
    ) -> Result<Self, PluginError> {
        let parameters = trainable(&seed_group(slot), instance.variables()?);
        layout::apply_layout(&parameters, site.layout())?;
        Ok(Self { entry, config, instance, parameters, stream: None, multiply_adds: 0 })
    }

    /// Sets the seed's own stream of random numbers.
    pub(crate) fn with_stream(self, stream: Option<RngStream>) -> Self {
        Self { stream, ..self }
    }

    /// Returns the blueprint that the seed was built from.
    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Whether the seed has its own stream of random numbers.
    pub(crate) fn is_stochastic(&self) -> bool {
        self.stream.is_some()
    }

    /// Returns the trainable parameters, sorted by name.
    pub(crate) fn parameters(&self) -> &[NamedParameter] {
        &self.parameters
    }

    /// Gives a stochastic seed other random numbers from now on.
    pub(crate) fn renew_stream(&mut self, seed: u64) -> Result<(), kasmina_torch_ext::Error> {
        if let Some(stream) = &mut self.stream {
            *stream = RngStream::new(seed)?;
        }
        Ok(())
    }

    /// Returns the multiply-adds of one forward, per sample.
    pub(crate) fn multiply_adds(&self) -> u64 {
        self.multiply_adds
    }

    /// Returns the seed's state, and adds its tensors to `tensors`.
    pub(super) fn state(&self, slot: &str, tensors: &mut StateTensors) -> Result<PartState, StateError> {
        let group = seed_group(slot);
        tensors.add_variables(&group, self.instance.variables()?);
        if let Some(stream) = &self.stream {
            let states = stream.state().named();
            tensors
                .training
                .extend(states.map(|(name, t)| (format!("{group}.stream.{name}"), t.shallow_clone())));
        }
        Ok(PartState::of(&self.entry, &self.config, self.instance.state()?))
    }

    /// Builds the seed again from its state.
    pub(super) fn restored(
        slot: &str,
        site: &Site,
        entry: Entry,
        state: &LiveState,
        tensors: &mut RestoredTensors,
    ) -> Result<Self, StateError> {
        let PartState { config, bytes, version, .. } = &state.seed;
        let instance = entry.make_seed(site, config)?;
        let mut part = Self::new(slot, site, entry, config.clone(), instance)?;
        let group = seed_group(slot);
        copy_all(&tensors.take_variables(&group, part.instance.variables()?)?)?;
        if !bytes.is_empty() {
            part.instance.restore(bytes, *version)?;
        }
        if state.stochastic {
            let given = |name: &str| tensors.training.remove(&format!("{group}.stream.{name}"));
            part.stream = Some(RngStream::at(RngState::save()?.replaced(given)));
        }
        Ok(Self { multiply_adds: state.multiply_adds, ..part })
    }

    /// Builds the same seed at another site, with its variables, state bytes and stream.
    pub(super) fn rebuilt(&self, slot: &str, site: &Site) -> Result<Self, RebuildError> {
        let mut instance = self.entry.make_seed(site, &self.config)?;
        copy_all_variables(&self.instance.variables()?, &instance.variables()?)?;
        let state = self.instance.state()?;
        if !state.is_empty() {
            instance.restore(&state, self.entry.record().state_version)?;
        }
        let part = Self::new(slot, site, self.entry.clone(), self.config.clone(), instance)?;
        let stream = self.stream.as_ref().map(RngStream::fork);
        Ok(Self { stream, multiply_adds: self.multiply_adds, ..part })
    }
}
