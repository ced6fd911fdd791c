//! Another blend in the place of one that lives: made ready beside it, taken in whole.

use super::MorphogeneticModel;
use super::error::CommandError;
use super::nursery::sample_points;
use crate::graft::{Before, LiveSeed, blend_group, layout, probe_blend, trainable};
use crate::lifecycle::{Curve, Lifecycle};
use crate::model::{Intervene, Intervention};
use kasmina_plugin_api::abi::{BlendInstance, Variable};
use kasmina_plugin_api::{Capability, PluginError};
use kasmina_registry::Entry;
use kasmina_torch_ext::rng::{RngFork, derive_seed};
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink, Role, Ticket};

/// A blend that could take another's place now.
pub(super) struct Exchange {
    pub(super) index: usize,
    entry: Entry,
    blend: BlendInstance,
    parameters: Vec<NamedParameter>,
    lifecycle: Lifecycle,
    /// What the ramp is told, where it is told something.
    pub(super) told: Option<Intervene>,
    pub(super) tickets: Vec<Ticket>,
}

impl MorphogeneticModel {
    /// Builds and tries the blend of another build for a slot, gives it the variables and the state of the one that lives
    /// there, and lets the optimizer prepare. Changes nothing.
    pub(super) fn prepare_exchange(
        &self,
        index: usize,
        entry: &Entry,
        with_state: bool,
        sink: &mut dyn ParameterSink,
    ) -> Result<Exchange, CommandError> {
        let slot = &self.slots[index];
        let Some(live) = &slot.live else {
            return Err(CommandError::Torch("no seed lives there".to_owned()));
        };
        let (name, site) = (slot.name(), slot.site());
        let mut blend = {
            let seed_id = slot.lifecycle.seed().map_or("", |seed| &seed.seed_id);
            let _fork = RngFork::seeded(derive_seed(self.seed, &[name, seed_id, "blend"]))?;
            entry.make_blend(&site, &live.origin.blend_config)?
        };
        {
            let _precision = self.precision.scope(self.device)?;
            let promises = (entry.declares(Capability::SeedAtOne), entry.record().state_version);
            probe_blend(&mut blend, &slot.features, promises).map_err(|error| CommandError::ProbeBlend {
                blend: entry.full_name(),
                slot: name.to_owned(),
                error,
            })?;
        }
        bring_over(&live.blend.variables()?, &blend.variables()?)?;
        if with_state {
            let state = live.blend.state()?;
            if !state.is_empty() {
                blend.restore(&state, live.origin.blend.record().state_version)?;
            }
        }
        let parameters = trainable(&blend_group(name), blend.variables()?);
        layout::settle(&parameters, site.layout())?;

        let mut lifecycle = slot.lifecycle.clone();
        let mut told = None;
        if let Some(curve) = self.other_curve(&slot.lifecycle, &blend)? {
            lifecycle.exchange_curve(curve.clone())?;
            told = Some(Intervene::ExchangeCurve { curve });
        }
        let mut tickets = Vec::new();
        if !(parameters.is_empty() && live.blend_parameters.is_empty()) {
            let parameters = parameters.iter().map(NamedParameter::share).collect();
            tickets.push(sink.prepare(Change::Exchange {
                owner: blend_group(name),
                role: Role::Gate,
                parameters,
            })?);
        }
        Ok(Exchange { index, entry: entry.clone(), blend, parameters, lifecycle, told, tickets })
    }

    /// The curve of another blend, on the grid of the one that a seed has, if it is another curve. A curve that the user
    /// has chosen is no blend's.
    fn other_curve(
        &self,
        lifecycle: &Lifecycle,
        blend: &BlendInstance,
    ) -> Result<Option<Curve>, CommandError> {
        let Some(seed) = lifecycle.living().filter(|_| self.alpha.curve.is_none()) else { return Ok(None) };
        let Curve::Table(samples) = seed.alpha.curve() else { return Ok(None) };
        let curve = sample_points(blend, samples.len().saturating_sub(1) as u32)?;
        Ok((curve != *seed.alpha.curve()).then_some(curve))
    }

    /// Takes it in, and answers with what was there before. Cannot fail.
    pub(super) fn take_exchange(
        &mut self,
        exchange: Exchange,
        sink: &mut dyn ParameterSink,
    ) -> Option<Before> {
        let Exchange { index, entry, blend, parameters, lifecycle, told, tickets } = exchange;
        for ticket in tickets {
            sink.commit(ticket);
        }
        let slot = &mut self.slots[index];
        let alpha = slot.lifecycle.living().map(|seed| seed.alpha.clone());
        slot.lifecycle = lifecycle;
        if let Some(what) = told {
            slot.interventions.push(Intervention { after_ticks: slot.ticks, what });
        }
        let leaving = slot.lifecycle.is_leaving();
        let (live, alpha) = (slot.live.as_mut()?, alpha?);
        let before = Before {
            seed_at_one: live.seed_at_one,
            entry: std::mem::replace(&mut live.origin.blend, entry),
            blend: std::mem::replace(&mut live.blend, blend),
            parameters: std::mem::replace(&mut live.blend_parameters, parameters),
            alpha,
        };
        live.seed_at_one = live.origin.blend.declares(Capability::SeedAtOne);
        if leaving {
            LiveSeed::freeze(live);
        }
        self.restructured();
        Some(before)
    }
}

/// Copies what goes by the same name and has the same shape; the rest begins anew.
pub(super) fn bring_over(from: &[Variable], to: &[Variable]) -> Result<(), PluginError> {
    tch::no_grad(|| {
        for to in to {
            let same = |v: &&Variable| v.name == to.name && v.tensor.size() == to.tensor.size();
            if let Some(from) = from.iter().find(same) {
                to.tensor.shallow_clone().f_copy_(&from.tensor)?;
            }
        }
        Ok(())
    })
}
