//! Where seeds are made: built over generators of their own, probed on the slot's real features, remembered.

use super::MorphogeneticModel;
use super::command::Germinate;
use super::error::CommandError;
use super::germinate::config_text;
use crate::graft::{LiveSeed, Origin, Promises, probe};
use crate::lifecycle::Curve;
use kasmina_plugin_api::Capability;
use kasmina_plugin_api::abi::BlendInstance;
use kasmina_registry::Entry;
use kasmina_torch_ext::rng::{RngFork, RngStream, derive_seed};

/// Points of a blend's curve that are kept; a longer ramp goes straight between them.
const CURVE_POINTS: u32 = 1024;

impl MorphogeneticModel {
    /// A fresh seed for a slot, probed, and the curve of its blend for the ramp that is asked for.
    pub(super) fn build_and_probe(
        &mut self,
        index: usize,
        wish: &Germinate,
        blueprint: &Entry,
        blend: &Entry,
    ) -> Result<(LiveSeed, Curve), CommandError> {
        let mut live = self.build_seed(index, wish, blueprint, blend)?;
        self.probe_seed(index, &mut live)?;
        let tempo = wish.tempo.unwrap_or(self.alpha.tempo);
        let curve = sample_curve(&live.blend, tempo)?;
        Ok((live, curve))
    }

    fn build_seed(
        &self,
        index: usize,
        wish: &Germinate,
        blueprint: &Entry,
        blend: &Entry,
    ) -> Result<LiveSeed, CommandError> {
        let slot = &self.slots[index];
        let (name, site) = (slot.name(), slot.site());
        let seed_for = |part: &str| derive_seed(self.seed, &[name, &wish.seed_id, part]);
        let origin = Origin {
            blueprint: blueprint.clone(),
            blend: blend.clone(),
            blueprint_config: config_text(&wish.blueprint_config),
            blend_config: config_text(&wish.blend_config),
        };
        let seed = {
            let _fork = RngFork::seeded(seed_for("seed"))?;
            blueprint.make_seed(&site, &origin.blueprint_config)?
        };
        let made = {
            let _fork = RngFork::seeded(seed_for("blend"))?;
            blend.make_blend(&site, &origin.blend_config)?
        };
        let mut live = LiveSeed::new(name, &site, origin, (seed, made), 0.0)?;
        if blueprint.declares(Capability::Stochastic) {
            live.stream = Some(RngStream::new(seed_for("stream"))?);
        }
        Ok(live)
    }

    fn probe_seed(&mut self, index: usize, live: &mut LiveSeed) -> Result<(), CommandError> {
        let slot = &self.slots[index];
        let Origin { blueprint, blend, blueprint_config, blend_config } = &live.origin;
        let key = format!(
            "{}@{:?} {blueprint_config} with {}@{:?} {blend_config} on {:?} {:?}",
            blueprint.full_name(),
            blueprint.plugin().generation(),
            blend.full_name(),
            blend.plugin().generation(),
            slot.spec.topology,
            slot.features,
        );
        if let Some(multiply_adds) = self.probed.get(&key) {
            live.multiply_adds = *multiply_adds;
            return Ok(());
        }
        let promises = Promises {
            stochastic: blueprint.declares(Capability::Stochastic),
            identity_at_birth: blueprint.declares(Capability::IdentityAtBirth),
            seed_at_one: blend.declares(Capability::SeedAtOne),
            seed_state: blueprint.record().state_version,
            blend_state: blend.record().state_version,
        };
        let name = blueprint.full_name();
        let _precision = self.precision.scope(self.device)?;
        live.multiply_adds = probe(&mut live.seed, &mut live.blend, &slot.features, promises)
            .map_err(|error| CommandError::Probe { blueprint: name, slot: slot.name().to_owned(), error })?;
        self.probed.insert(key, live.multiply_adds);
        Ok(())
    }
}

/// A blend's own curve, as the lifecycle can keep it: one sample per tick of the ramp, if they are not too many.
pub(super) fn sample_curve(blend: &BlendInstance, ticks: u32) -> Result<Curve, CommandError> {
    sample_points(blend, ticks.min(CURVE_POINTS))
}

/// The same on a grid of so many intervals.
pub(super) fn sample_points(blend: &BlendInstance, points: u32) -> Result<Curve, CommandError> {
    let points = points.max(1);
    let samples = (0..=points).map(|i| blend.curve(f64::from(i) / f64::from(points)));
    Ok(Curve::sampled(&samples.collect::<Result<Vec<_>, _>>()?)?)
}
