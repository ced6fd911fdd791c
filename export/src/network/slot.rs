//! A slot of a saved network, with its seed.

use super::weights::Weights;
use crate::{ExportError, Part, SeedInSlot};
use kasmina::graft::Mixture;
use kasmina::state::EntryName;
use kasmina_plugin_api::abi::{BlendInstance, SeedInstance, Variable};
use kasmina_plugin_api::{Context as _, Cx, Kind, Mode, Result, Site};
use kasmina_registry::{Entry, RegistryError};
use kasmina_torch_ext::traced::NamedTensor;
use tch::Tensor;

/// The seed in a slot, and the blend that mixes it with the host's features.
#[derive(Debug)]
pub(crate) struct OccupiedSlot {
    name: String,
    step: u64,
    seed: SeedInstance,
    /// The blend and its alpha, a 0-dim tensor; `None` if the output is the seed's alone.
    blend: Option<(BlendInstance, Tensor)>,
}

impl OccupiedSlot {
    /// Builds the seed and the blend, with initial weights.
    pub(super) fn new(
        seed: &SeedInSlot,
        site: &Site,
        step: u64,
        resolve: &dyn Fn(Kind, &EntryName) -> std::result::Result<Entry, RegistryError>,
    ) -> std::result::Result<Self, ExportError> {
        let Part { entry, state, state_version, .. } = &seed.seed;
        let mut instance = resolve(Kind::Blueprint, entry)?.make_seed(site, &seed.seed.config_text())?;
        if !state.is_empty() {
            instance.restore(state, *state_version)?;
        }
        let blend = if seed.seed_alone {
            None
        } else {
            let Part { entry, state, state_version, .. } = &seed.blend;
            let mut blend = resolve(Kind::Blend, entry)?.make_blend(site, &seed.blend.config_text())?;
            if !state.is_empty() {
                blend.restore(state, *state_version)?;
            }
            Some((blend, Tensor::f_full([], seed.alpha, (tch::Kind::Float, site.device()))?))
        };
        Ok(Self { name: seed.slot.clone(), step, seed: instance, blend })
    }

    /// Fills the variables with the weights under these prefixes.
    pub(super) fn fill(
        &self,
        weights: &Weights<'_>,
        seed: &str,
        blend: Option<&str>,
    ) -> std::result::Result<(), ExportError> {
        weights.fill(seed, self.seed.variables()?)?;
        match (&self.blend, blend) {
            (Some((instance, _)), Some(prefix)) => weights.fill(prefix, instance.variables()?),
            _ => Ok(()),
        }
    }

    /// Returns the name of the slot.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns all variables of seed and blend by the names that they have in the generated PyTorch module of
    /// the slot, with a prefix.
    pub(crate) fn named_tensors(&self, prefix: &str) -> Result<Vec<NamedTensor>> {
        let Some((blend, _)) = &self.blend else { return Ok(named_tensors(prefix, self.seed.variables()?)) };
        let mut all = named_tensors(&format!("{prefix}seed."), self.seed.variables()?);
        all.extend(named_tensors(&format!("{prefix}blend."), blend.variables()?));
        Ok(all)
    }

    /// Returns all variables of seed and blend.
    pub(super) fn variables(&self) -> Result<Vec<Variable>> {
        let mut all = self.seed.variables()?;
        if let Some((blend, _)) = &self.blend {
            all.extend(blend.variables()?);
        }
        Ok(all)
    }

    /// Returns the features that the host continues with.
    ///
    /// # Shapes
    /// `x` and the output: `[batch, ...]`, the shape of the slot's features.
    pub(crate) fn forward(&mut self, x: &Tensor) -> Result<Tensor> {
        let cx = Cx::new(Mode::Eval, self.step, &self.name);
        let seed = self.seed.forward(x, &cx).with_context(|| format!("slot `{}`, seed", self.name))?;
        match &mut self.blend {
            None => Ok(seed),
            Some((blend, alpha)) => {
                let mixture = Mixture { host: x, seed: &seed, input: x, detached: false };
                mixture.mix(blend, alpha, &cx).with_context(|| format!("slot `{}`, blend", self.name))
            }
        }
    }
}

/// Returns variables with a prefix before their names.
pub(super) fn named_tensors(prefix: &str, variables: Vec<Variable>) -> Vec<NamedTensor> {
    let named = |v: Variable| NamedTensor {
        name: format!("{prefix}{}", v.name),
        tensor: v.tensor,
        parameter: v.trainable,
    };
    variables.into_iter().map(named).collect()
}
