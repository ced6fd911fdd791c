//! Building a seed with its own random generators, and probing it on features like the slot's.

use super::curve::sample_curve;
use crate::graft::{BlendPart, LiveSeed, SeedPart};
use crate::lifecycle::Curve;
use crate::model::{CommandError, Germinate, MorphogeneticModel};
use kasmina_plugin_api::{Capability, Kind, Topology};
use kasmina_registry::{Entry, Registry};
use kasmina_torch_ext::rng::{RngFork, RngStream, derive_seed};

impl MorphogeneticModel {
    /// Builds and probes a seed for a slot, and samples its blend's curve for the requested ramp.
    pub(super) fn build_and_probe(
        &mut self,
        index: usize,
        germinate: &Germinate,
        blueprint: &Entry,
        blend: &Entry,
    ) -> Result<(LiveSeed, Curve), CommandError> {
        let mut live = self.build_seed(index, germinate, blueprint, blend)?;
        self.probe_seed(index, &mut live)?;
        let tempo = germinate.tempo.unwrap_or(self.growth.alpha().tempo);
        let curve = sample_curve(live.blend().instance(), tempo)?;
        Ok((live, curve))
    }

    fn build_seed(
        &self,
        index: usize,
        germinate: &Germinate,
        blueprint: &Entry,
        blend: &Entry,
    ) -> Result<LiveSeed, CommandError> {
        let slot = &self.slots[index];
        let (name, site) = (slot.name(), slot.site());
        let seed_for = |part: &str| derive_seed(self.growth.seed(), &[name, &germinate.seed_id, part]);
        let seed = {
            let config = config_text(&germinate.blueprint_config);
            let _fork = RngFork::seeded(seed_for("seed"))?;
            let instance = blueprint.make_seed(&site, &config)?;
            SeedPart::new(name, &site, blueprint.clone(), config, instance)?
        };
        let blend = {
            let config = config_text(&germinate.blend_config);
            let _fork = RngFork::seeded(seed_for("blend"))?;
            let instance = blend.make_blend(&site, &config)?;
            BlendPart::new(name, &site, blend.clone(), config, instance)?
        };
        let stochastic = blueprint.declares(Capability::Stochastic);
        let seed_of_stream = self.seed_of_stream(name, &germinate.seed_id, None);
        let stream = stochastic.then(|| RngStream::new(seed_of_stream)).transpose()?;
        Ok(LiveSeed::new(&site, seed.with_stream(stream), blend)?)
    }

    /// Returns the seed of the random numbers of a stochastic seed. Each rank draws its own numbers, for its
    /// own part of the data.
    fn seed_of_stream(&self, slot: &str, seed_id: &str, step: Option<u64>) -> u64 {
        let rank = match self.consensus.rank() {
            0 => String::new(),
            rank => format!(" of rank {rank}"),
        };
        let since = step.map_or_else(String::new, |step| format!(" since step {step}"));
        derive_seed(self.growth.seed(), &[slot, seed_id, &format!("stream{rank}{since}")])
    }

    /// Gives the stochastic seeds random numbers of this rank, after a state that another rank has saved was
    /// restored.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn renew_streams(&mut self) -> Result<(), kasmina_torch_ext::Error> {
        let step = self.telemetry.step();
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            let Some(seed_id) = slot.lifecycle().seed().map(|seed| seed.seed_id.clone()) else { continue };
            let seed = self.seed_of_stream(slot.name(), &seed_id, Some(step));
            self.slots[index].renew_stream(seed)?;
        }
        Ok(())
    }

    fn probe_seed(&mut self, index: usize, live: &mut LiveSeed) -> Result<(), CommandError> {
        let slot = &self.slots[index];
        let key = format!("{} on {:?} {:?}", live.probe_key(), slot.spec().topology, slot.features());
        let known = self.growth.probed(&key);
        let _precision = match known {
            Some(_) => None,
            None => self.network.precision_scope()?,
        };
        let multiply_adds = live.probe(slot.features(), known).map_err(|error| CommandError::Probe {
            blueprint: live.seed().entry().full_name(),
            slot: slot.name().to_owned(),
            error,
        })?;
        self.growth.remember_probe(key, multiply_adds);
        Ok(())
    }
}

/// Resolves the blueprint and the blend of a germination in a slot of this topology.
pub(super) fn resolve(
    germinate: &Germinate,
    topology: Topology,
    registry: &Registry,
) -> Result<(Entry, Entry), CommandError> {
    let blueprint = registry.resolve_for(Kind::Blueprint, &germinate.blueprint, topology)?;
    let blend = registry.resolve_for(Kind::Blend, &germinate.blend, topology)?;
    Ok((blueprint, blend))
}

/// Returns a configuration as JSON text; `null`, the default configuration, becomes the empty text.
pub(super) fn config_text(config: &serde_json::Value) -> String {
    if config.is_null() { String::new() } else { config.to_string() }
}
