//! A seed that lives in a slot: its two halves, its alpha, and the trial of its blend.

use super::alpha::DeviceAlpha;
use super::blend_part::BlendPart;
use super::failure::RebuildError;
use super::features::Features;
use super::parameters::{blend_group, seed_group};
use super::probe::{ProbeError, Promises, probe};
use super::seed_part::SeedPart;
use super::trial::Trial;
use crate::state::{EntryName, GivenTensors, LiveState, Resolve, StateError, StateTensors};
use kasmina_plugin_api::abi::Variable;
use kasmina_plugin_api::{Kind, PluginError, Site};
use kasmina_registry::Entry;
use kasmina_torch_ext::{NamedParameter, Role};

/// A seed that lives. One thread uses it at a time.
#[derive(Debug)]
pub(crate) struct LiveSeed {
    pub(super) seed: SeedPart,
    pub(super) blend: BlendPart,
    pub(super) alpha: DeviceAlpha,
    /// The build of its blend before the last exchange that was confirmed.
    pub(super) earlier_blend: Option<Entry>,
    /// Its blend was exchanged and is on trial.
    pub(super) trial: Option<Trial>,
}

impl LiveSeed {
    /// Joins the two halves, at alpha 0.
    pub(crate) fn new(site: &Site, seed: SeedPart, blend: BlendPart) -> Result<Self, PluginError> {
        let alpha = DeviceAlpha::new(site, 0.0)?;
        Ok(Self { seed, blend, alpha, earlier_blend: None, trial: None })
    }

    /// Seed module with its parameters.
    pub(crate) fn seed(&self) -> &SeedPart {
        &self.seed
    }

    /// Blend with its parameters.
    pub(crate) fn blend(&self) -> &BlendPart {
        &self.blend
    }

    /// Runs the probe on these features, unless its result is known already: multiply-adds of a forward, per
    /// sample.
    pub(crate) fn probe(&mut self, features: &Features, known: Option<u64>) -> Result<u64, ProbeError> {
        self.seed.multiply_adds = if let Some(multiply_adds) = known {
            multiply_adds
        } else {
            let promises = Promises::of(&self.seed.entry, &self.blend.entry);
            probe(&mut self.seed.instance, &mut self.blend.instance, features, promises)?
        };
        Ok(self.seed.multiply_adds)
    }

    /// What its probe depends on, besides the slot.
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

    /// Trainable parameters of seed and blend.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &NamedParameter> {
        self.seed.parameters.iter().chain(&self.blend.parameters)
    }

    /// The groups that it has in an optimizer: owner, role and parameters.
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

    /// Variables of both instances, those that do not learn included.
    pub(crate) fn variables(&self) -> Result<Vec<Variable>, PluginError> {
        let mut all = self.seed.instance.variables()?;
        all.extend(self.blend.instance.variables()?);
        Ok(all)
    }

    /// State bytes of seed and blend.
    pub(crate) fn states(&self) -> Result<[Vec<u8>; 2], PluginError> {
        Ok([self.seed.instance.state()?, self.blend.instance.state()?])
    }

    /// Writes alpha to the device, if it is another than before.
    pub(crate) fn set_alpha(&mut self, alpha: f64) -> Result<(), PluginError> {
        self.alpha.set(alpha)
    }

    /// Whether the features that flow on are the host's own.
    pub(super) fn is_silent(&self) -> bool {
        self.alpha.value() == 0.0
    }

    /// Whether the features that flow on are the seed's own: its blend has nothing to do any more.
    pub(super) fn is_seed_only(&self) -> bool {
        self.alpha.value() == 1.0 && self.blend.seed_at_one
    }

    /// From now on nothing of it learns. What flows through it to the host still does.
    pub(crate) fn freeze(&self) {
        for parameter in self.parameters() {
            let _ = parameter.tensor.set_requires_grad(false);
        }
    }

    /// What it keeps between two steps. A blend on trial must be confirmed or taken back before.
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

    /// The seed and blend that had this state, built again.
    pub(super) fn restored(
        slot: &str,
        site: &Site,
        state: &LiveState,
        tensors: &mut GivenTensors,
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

    /// The same seed and blend at another site. A blend on trial must be confirmed or taken back before.
    pub(crate) fn rebuilt(&self, slot: &str, site: &Site) -> Result<Self, RebuildError> {
        let (seed, blend) = (self.seed.rebuilt(slot, site)?, self.blend.rebuilt(slot, site)?);
        let alpha = DeviceAlpha::new(site, self.alpha.value())?;
        Ok(Self { seed, blend, alpha, earlier_blend: self.earlier_blend.clone(), trial: None })
    }
}
