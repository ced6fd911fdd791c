//! The blend's half of what lives in a slot.

use super::failure::RebuildError;
use super::layout;
use super::parameters::{blend_group, bring_all_over, trainable};
use crate::state::{GivenTensors, PartState, StateError, StateTensors, copy_all};
use kasmina_plugin_api::abi::BlendInstance;
use kasmina_plugin_api::{Capability, PluginError, Site};
use kasmina_registry::Entry;
use kasmina_torch_ext::NamedParameter;

/// A living instance of a blend.
#[derive(Debug)]
pub(crate) struct BlendPart {
    pub(super) entry: Entry,
    /// The configuration as it was given.
    pub(super) config: String,
    pub(super) instance: BlendInstance,
    /// Trainable parameters, named `slot.<slot>.blend.<n>` and sorted by name.
    pub(super) parameters: Vec<NamedParameter>,
    /// The blend promises that at alpha 1 its output is the seed's.
    pub(super) seed_at_one: bool,
}

impl BlendPart {
    /// Takes a fresh instance for a slot of this name and site.
    pub(crate) fn new(
        slot: &str,
        site: &Site,
        entry: Entry,
        config: String,
        instance: BlendInstance,
    ) -> Result<Self, PluginError> {
        let parameters = trainable(&blend_group(slot), instance.variables()?);
        layout::settle(&parameters, site.layout())?;
        let seed_at_one = entry.declares(Capability::SeedAtOne);
        Ok(Self { entry, config, instance, parameters, seed_at_one })
    }

    /// Registry entry that the blend was built from.
    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The configuration as it was given.
    pub(crate) fn config(&self) -> &str {
        &self.config
    }

    /// Built blend.
    pub(crate) fn instance(&self) -> &BlendInstance {
        &self.instance
    }

    /// Its trainable parameters, sorted by name.
    pub(crate) fn parameters(&self) -> &[NamedParameter] {
        &self.parameters
    }

    /// How it was made, its state bytes, and its variables.
    pub(super) fn state(&self, slot: &str, tensors: &mut StateTensors) -> Result<PartState, StateError> {
        tensors.add_variables(&blend_group(slot), self.instance.variables()?);
        Ok(PartState::of(&self.entry, &self.config, self.instance.state()?))
    }

    /// The blend that had this state, built again.
    pub(super) fn restored(
        slot: &str,
        site: &Site,
        entry: Entry,
        state: &PartState,
        tensors: &mut GivenTensors,
    ) -> Result<Self, StateError> {
        let instance = entry.make_blend(site, &state.config)?;
        let mut part = Self::new(slot, site, entry, state.config.clone(), instance)?;
        copy_all(&tensors.take_variables(&blend_group(slot), part.instance.variables()?)?)?;
        if !state.bytes.is_empty() {
            part.instance.restore(&state.bytes, state.version)?;
        }
        Ok(part)
    }

    /// The same blend at another site, with its variables and its state.
    pub(super) fn rebuilt(&self, slot: &str, site: &Site) -> Result<Self, RebuildError> {
        let mut instance = self.entry.make_blend(site, &self.config)?;
        bring_all_over(&self.instance.variables()?, &instance.variables()?)?;
        let state = self.instance.state()?;
        if !state.is_empty() {
            instance.restore(&state, self.entry.record().state_version)?;
        }
        Ok(Self::new(slot, site, self.entry.clone(), self.config.clone(), instance)?)
    }
}
