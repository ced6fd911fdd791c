//! The seed's half of what lives in a slot.

use super::failure::RebuildError;
use super::layout;
use super::parameters::{bring_all_over, seed_group, trainable};
use crate::state::{GivenTensors, LiveState, PartState, StateError, StateTensors, copy_all};
use kasmina_plugin_api::abi::SeedInstance;
use kasmina_plugin_api::{PluginError, Site};
use kasmina_registry::Entry;
use kasmina_torch_ext::NamedParameter;
use kasmina_torch_ext::rng::{RngState, RngStream};

/// A living instance of a blueprint.
#[derive(Debug)]
pub(crate) struct SeedPart {
    pub(super) entry: Entry,
    /// The configuration as it was given, to build the same again on another device.
    pub(super) config: String,
    pub(super) instance: SeedInstance,
    /// Trainable parameters, named `slot.<slot>.seed.<n>` and sorted by name.
    pub(super) parameters: Vec<NamedParameter>,
    /// Where a stochastic seed draws its random numbers.
    pub(super) stream: Option<RngStream>,
    /// Multiply-adds of a forward, per sample; known from the probe.
    pub(super) multiply_adds: u64,
}

impl SeedPart {
    /// Takes a fresh instance for a slot of this name and site.
    pub(crate) fn new(
        slot: &str,
        site: &Site,
        entry: Entry,
        config: String,
        instance: SeedInstance,
    ) -> Result<Self, PluginError> {
        let parameters = trainable(&seed_group(slot), instance.variables()?);
        layout::settle(&parameters, site.layout())?;
        Ok(Self { entry, config, instance, parameters, stream: None, multiply_adds: 0 })
    }

    /// The same with a stream of random numbers of its own.
    pub(crate) fn with_stream(self, stream: Option<RngStream>) -> Self {
        Self { stream, ..self }
    }

    /// Which blueprint it is of.
    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Whether its random numbers come from a stream of its own.
    pub(crate) fn is_stochastic(&self) -> bool {
        self.stream.is_some()
    }

    /// Its trainable parameters, sorted by name.
    pub(crate) fn parameters(&self) -> &[NamedParameter] {
        &self.parameters
    }

    /// Multiply-adds of a forward, per sample.
    pub(crate) fn multiply_adds(&self) -> u64 {
        self.multiply_adds
    }

    /// How it was made, its state bytes, and its tensors.
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

    /// The seed that had this state, built again.
    pub(super) fn restored(
        slot: &str,
        site: &Site,
        entry: Entry,
        state: &LiveState,
        tensors: &mut GivenTensors,
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

    /// The same seed at another site, with its variables, its state and its stream.
    pub(super) fn rebuilt(&self, slot: &str, site: &Site) -> Result<Self, RebuildError> {
        let mut instance = self.entry.make_seed(site, &self.config)?;
        bring_all_over(&self.instance.variables()?, &instance.variables()?)?;
        let state = self.instance.state()?;
        if !state.is_empty() {
            instance.restore(&state, self.entry.record().state_version)?;
        }
        let part = Self::new(slot, site, self.entry.clone(), self.config.clone(), instance)?;
        let stream = self.stream.as_ref().map(RngStream::fork);
        Ok(Self { stream, multiply_adds: self.multiply_adds, ..part })
    }
}
