//! The blender in a slot.

use super::failure::RebuildError;
use super::layout;
use super::parameters::{blend_group, copy_all_variables, trainable};
use crate::state::{PartState, RestoredTensors, StateError, StateTensors, copy_all};
use kasmina_plugin_api::abi::BlendInstance;
use kasmina_plugin_api::{Capability, PluginError, Site};
use kasmina_registry::Entry;
use kasmina_torch_ext::NamedParameter;

/// An instance of a blend in a slot, with its parameters.
#[derive(Debug)]
pub(crate) struct BlendPart {
    pub(super) entry: Entry,
    /// Configuration that the blender was built with.
    pub(super) config: String,
    pub(super) instance: BlendInstance,
    /// Trainable parameters, named `slot.<slot>.blend.<n>` and sorted by name.
    pub(super) parameters: Vec<NamedParameter>,
    /// Whether the blend declares `seed_at_one`: at alpha 1 its output is the seed's.
    pub(super) seed_at_one: bool,
}

impl BlendPart {
    /// Wraps a fresh instance for the slot of this name at this site.
    pub(crate) fn new(
        slot: &str,
        site: &Site,
        entry: Entry,
        config: String,
        instance: BlendInstance,
    ) -> Result<Self, PluginError> {
        let parameters = trainable(&blend_group(slot), instance.variables()?);
        layout::apply_layout(&parameters, site.layout())?;
        let seed_at_one = entry.declares(Capability::SeedAtOne);
        Ok(Self { entry, config, instance, parameters, seed_at_one })
    }

    /// Returns the entry that the blender was built from.
    pub(crate) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Returns the configuration that the blender was built with.
    pub(crate) fn config(&self) -> &str {
        &self.config
    }

    /// Returns the blender itself.
    pub(crate) fn instance(&self) -> &BlendInstance {
        &self.instance
    }

    /// Returns the trainable parameters, sorted by name.
    pub(crate) fn parameters(&self) -> &[NamedParameter] {
        &self.parameters
    }

    /// Returns the blender's state, and adds its variables to `tensors`.
    pub(super) fn state(&self, slot: &str, tensors: &mut StateTensors) -> Result<PartState, StateError> {
        tensors.add_variables(&blend_group(slot), self.instance.variables()?);
        Ok(PartState::of(&self.entry, &self.config, self.instance.state()?))
    }

    /// Builds the blender again from its state.
    pub(super) fn restored(
        slot: &str,
        site: &Site,
        entry: Entry,
        state: &PartState,
        tensors: &mut RestoredTensors,
    ) -> Result<Self, StateError> {
        let instance = entry.make_blend(site, &state.config)?;
        let mut part = Self::new(slot, site, entry, state.config.clone(), instance)?;
        copy_all(&tensors.take_variables(&blend_group(slot), part.instance.variables()?)?)?;
        if !state.bytes.is_empty() {
            part.instance.restore(&state.bytes, state.version)?;
        }
        Ok(part)
    }

    /// Builds the same blender at another site, with its variables and state bytes.
    pub(super) fn rebuilt(&self, slot: &str, site: &Site) -> Result<Self, RebuildError> {
        let mut instance = self.entry.make_blend(site, &self.config)?;
        copy_all_variables(&self.instance.variables()?, &instance.variables()?)?;
        let state = self.instance.state()?;
        if !state.is_empty() {
            instance.restore(&state, self.entry.record().state_version)?;
        }
        Ok(Self::new(slot, site, self.entry.clone(), self.config.clone(), instance)?)
    }
}
