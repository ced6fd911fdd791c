//! The seed in an occupied slot: seed module, blender, alpha, and the trial of a swapped blend.

use super::alpha::DeviceAlpha;
use super::blend_part::BlendPart;
use super::failure::RebuildError;
use super::features::Features;
use super::parameters::{blend_group, seed_group};
use super::probe::{ProbeError, Promises, probe};
use super::seed_part::SeedPart;
use super::trial::Trial;
use crate::state::{EntryName, LiveState, Resolve, RestoredTensors, StateError, StateTensors};
use kasmina_plugin_api::abi::Variable;
use kasmina_plugin_api::{Kind, PluginError, Site};
use kasmina_registry::Entry;
use kasmina_torch_ext::{NamedParameter, Role};

/// The seed in an occupied slot. One thread uses it at a time.
#[derive(Debug)]
pub(crate) struct LiveSeed {
    pub(super) seed: SeedPart,
    pub(super) blend: BlendPart,
    pub(super) alpha: DeviceAlpha,
    /// Entry of the blend before the last confirmed swap.
    pub(super) earlier_blend: Option<Entry>,
    /// Trial of a swapped blend; `None` when no trial runs.
    pub(super) trial: Option<Trial>,
}

impl LiveSeed {
    /// Combines a seed module and a blender, at alpha 0.
    pub(crate) fn new(site: &Site, seed: SeedPart, blend: BlendPart) -> Result<Self, PluginError> {
        let alpha = DeviceAlpha::new(site, 0.0)?;
        Ok(Self { seed, blend, alpha, earlier_blend: None, trial: None })
    }

    /// Returns the seed module.
    pub(crate) fn seed(&self) -> &SeedPart {
        &self.seed
    }

    /// Returns the blender.
    pub(crate) fn blend(&self) -> &BlendPart {
        &self.blend
    }

    /// Probes seed and blend on these features, unless the result is known; returns the multiply-adds of one
    /// forward of the seed, per sample.
    pub(crate) fn probe(&mut self, features: &Features, known: Option<u64>) -> Result<u64, ProbeError> {
        self.seed.multiply_adds = if let Some(multiply_adds) = known {
            multiply_adds
        } else {
            let promises = Promises::of(&self.seed.entry, &self.blend.entry);
            probe(&mut self.seed.instance, &mut self.blend.instance, features, promises)?
        };
        Ok(self.seed.multiply_adds)
    }

    /// Returns a cache key of everything that the probe depends on, except the slot.
    pub(crate) fn probe_key(&self) -> String {
        let (blueprint, blend) = (&self.seed.entry, &self.blend.entry);
        format!(
            "{}@{:?} {} with {}@{:?} {}",
            blueprint.full_name(),
            blueprint.plugin().generation(),
            self.seed.config,
            blend.full_name(),
            blend.plugin().generation(),
            self.blend.config,
        )
    }

    /// Returns the trainable parameters of seed and blend.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &NamedParameter> {
        self.seed.parameters.iter().chain(&self.blend.parameters)
    }

    /// Returns the non-empty groups of parameters for an optimizer: owner, role and parameters.
    pub(crate) fn groups<'a>(
        &'a self,
        slot: &str,
    ) -> impl Iterator<Item = (String, Role, &'a [NamedParameter])> + use<'a> {
        [
            (seed_group(slot), Role::Seed, self.seed.parameters.as_slice()),
            (blend_group(slot), Role::Gate, self.blend.parameters.as_slice()),
        ]
        .into_iter()
        .filter(|(.., parameters)| !parameters.is_empty())
    }

    /// Returns all variables of seed and blend, buffers included.
    pub(crate) fn variables(&self) -> Result<Vec<Variable>, PluginError> {
        let mut all = self.seed.instance.variables()?;
        all.extend(self.blend.instance.variables()?);
        Ok(all)
    }

    /// Returns the state bytes of the seed, then of the blend.
    pub(crate) fn states(&self) -> Result<[Vec<u8>; 2], PluginError> {
        Ok([self.seed.instance.state()?, self.blend.instance.state()?])
    }

    /// Writes alpha to the device if it has changed.
    pub(crate) fn set_alpha(&mut self, alpha: f64) -> Result<(), PluginError> {
        self.alpha.set(alpha)
    }

    /// Whether the slot passes the host's features on (alpha 0).
    pub(super) fn is_silent(&self) -> bool {
        self.alpha.value() == 0.0
    }

    /// Whether the slot passes the seed's output on without calling the blend (alpha 1 and `seed_at_one`).
    pub(super) fn is_seed_only(&self) -> bool {
        self.alpha.value() == 1.0 && self.blend.seed_at_one
    }

    /// Stops the training of all parameters. Gradients still flow through the seed to the host.
    pub(crate) fn freeze(&self) {
        for parameter in self.parameters() {
            let _ = parameter.tensor.set_requires_grad(false);
        }
    }

    /// Returns the state, and adds the tensors to `tensors`. A trial must have ended before.
    pub(super) fn state(&self, slot: &str, tensors: &mut StateTensors) -> Result<LiveState, StateError> {
        Ok(LiveState {
            seed: self.seed.state(slot, tensors)?,
            blend: self.blend.state(slot, tensors)?,
            alpha: self.alpha.value(),
            multiply_adds: self.seed.multiply_adds,
            stochastic: self.seed.is_stochastic(),
            earlier_blend: self.earlier_blend.as_ref().map(EntryName::of),
        })
    }

    /// Builds seed and blend again from their state.
    pub(super) fn restored(
        slot: &str,
        site: &Site,
        state: &LiveState,
        tensors: &mut RestoredTensors,
        resolve: &Resolve<'_>,
    ) -> Result<Self, StateError> {
        let blueprint = resolve(Kind::Blueprint, &state.seed.entry)?;
        let blend = resolve(Kind::Blend, &state.blend.entry)?;
        let seed = SeedPart::restored(slot, site, blueprint, state, tensors)?;
        let blend = BlendPart::restored(slot, site, blend, &state.blend, tensors)?;
        let earlier = state.earlier_blend.as_ref().map(|name| resolve(Kind::Blend, name)).transpose()?;
        let mut live = Self { earlier_blend: earlier, ..Self::new(site, seed, blend)? };
        live.set_alpha(state.alpha)?;
        Ok(live)
    }

    /// Builds the same seed and blend at another site. A trial must have ended before.
    pub(crate) fn rebuilt(&self, slot: &str, site: &Site) -> Result<Self, RebuildError> {
        let (seed, blend) = (self.seed.rebuilt(slot, site)?, self.blend.rebuilt(slot, site)?);
        let alpha = DeviceAlpha::new(site, self.alpha.value())?;
        Ok(Self { seed, blend, alpha, earlier_blend: self.earlier_blend.clone(), trial: None })
    }
}
