//! Germination: built and probed beside the living model, then taken in whole.

use super::command::{Executed, Germinate};
use super::error::CommandError;
use super::{MorphogeneticModel, Owner, count};
use crate::consensus::Act;
use crate::graft::{LiveSeed, Promises, probe};
use crate::lifecycle::{AlphaSettings, BlendPlan, Curve, Germination, Lifecycle};
use kasmina_plugin_api::abi::{BlendInstance, Variable};
use kasmina_plugin_api::{Capability, Kind};
use kasmina_registry::{Entry, Registry};
use kasmina_torch_ext::rng::{RngFork, RngStream, derive_seed};
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink, Role, SinkError, Ticket};
use tch::Tensor;

/// Points of a blend's curve that are kept; a longer ramp goes straight between them.
const CURVE_POINTS: u32 = 1024;

/// A germination that nothing stands in the way of any more.
struct Ready {
    live: LiveSeed,
    lifecycle: Lifecycle,
    germination: Germination,
    tickets: Vec<Ticket>,
}

impl MorphogeneticModel {
    /// Builds and probes the seed of a germination and drops it again: what a germination would be refused for
    /// later is known now, and a passed probe is remembered, so that the germination itself runs none. Changes
    /// nothing else.
    ///
    /// # Errors
    /// What the germination would say.
    pub fn prewarm(&mut self, wish: &Germinate, registry: &Registry) -> Result<(), CommandError> {
        let index = self.slot_index(&wish.slot)?;
        self.slots[index].lifecycle.clone().germinate(self.unbuilt(wish))?;
        let (blueprint, blend) = resolve(wish, registry)?;
        self.build_and_probe(index, wish, &blueprint, &blend).map(drop)
    }

    pub(super) fn germinate(
        &mut self,
        wish: &Germinate,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Executed, CommandError> {
        let index = self.slot_index(&wish.slot)?;
        let ready = self.make_ready(index, wish, registry, sink);
        let slot = &self.slots[index];
        let ballot = self.ballot(slot, Some(&wish.seed_id), Act::Germinate, ready.is_ok());
        let agreed = self.agree_on(ballot);
        let ready = ready.and_then(|ready| match agreed {
            Ok(true) => Ok(ready),
            not => {
                for ticket in ready.tickets {
                    sink.abort(ticket);
                }
                Err(not.err().unwrap_or(CommandError::Vetoed))
            }
        })?;

        // From here on nothing can fail.
        let Ready { live, lifecycle, germination, tickets } = ready;
        for ticket in tickets {
            sink.commit(ticket);
        }
        let name = self.slots[index].name().to_owned();
        for (owner, _, parameters) in owned(&name, &wish.seed_id, &live) {
            self.ownership.enter(&owner, parameters);
        }
        let slot = &mut self.slots[index];
        slot.monitor.register(live.seed_parameters.iter().map(|p| &p.tensor));
        slot.live = Some(live);
        self.with_slot(index, |current| *current = lifecycle);
        Ok(Executed::Germinated(Box::new(germination)))
    }

    /// Everything of a germination that can fail.
    fn make_ready(
        &mut self,
        index: usize,
        wish: &Germinate,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Ready, CommandError> {
        // What needs no tensor is refused before anything is built.
        let unbuilt = self.unbuilt(wish);
        self.slots[index].lifecycle.clone().germinate(unbuilt.clone())?;
        let (blueprint, blend) = resolve(wish, registry)?;
        let mut plan = unbuilt.blend;
        let (live, curve) = self.build_and_probe(index, wish, &blueprint, &blend)?;
        live.blend_entry.id().clone_into(&mut plan.id);
        plan.alpha.curve = Some(plan.alpha.curve.unwrap_or(curve));

        let germination = Germination {
            plugin: Some(blueprint.plugin().name.clone()),
            generation: blueprint.plugin().generation().map(str::to_owned),
            seed_params: count(&live.seed_parameters),
            gate_params: count(&live.blend_parameters),
            host_params: count(&self.host_parameters),
            ..Germination::new(wish.seed_id.clone(), blueprint.id(), plan)
        };
        let mut lifecycle = self.slots[index].lifecycle.clone();
        lifecycle.germinate(germination.clone())?;
        let name = self.slots[index].name();
        for (owner, _, parameters) in owned(name, &wish.seed_id, &live) {
            self.ownership.check(&owner, parameters)?;
        }
        let changes = groups(name, &live).map(|(owner, role, parameters)| Change::Add {
            owner,
            role,
            parameters: parameters.iter().map(NamedParameter::share).collect(),
        });
        let tickets = prepare_all(sink, changes)?;
        Ok(Ready { live, lifecycle, germination, tickets })
    }

    /// A germination as far as it is known before anything is built.
    pub(super) fn unbuilt(&self, wish: &Germinate) -> Germination {
        let task = &self.alpha;
        let alpha = AlphaSettings {
            tempo: wish.tempo.unwrap_or(task.tempo),
            unit: wish.unit.unwrap_or(task.unit),
            target: wish.target.unwrap_or(task.target),
            ..task.clone()
        };
        let plan = BlendPlan { id: wish.blend.clone(), alpha };
        Germination::new(wish.seed_id.clone(), wish.blueprint.clone(), plan)
    }

    fn build_and_probe(
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
        blend_entry: &Entry,
    ) -> Result<LiveSeed, CommandError> {
        let slot = &self.slots[index];
        let (name, site) = (slot.name(), slot.site());
        let seed_for = |part: &str| derive_seed(self.seed, &[name, &wish.seed_id, part]);
        let blueprint_config = config_text(&wish.blueprint_config);
        let blend_config = config_text(&wish.blend_config);
        let seed = {
            let _fork = RngFork::seeded(seed_for("seed"))?;
            blueprint.make_seed(&site, &blueprint_config)?
        };
        let blend = {
            let _fork = RngFork::seeded(seed_for("blend"))?;
            blend_entry.make_blend(&site, &blend_config)?
        };
        let stream = blueprint
            .declares(Capability::Stochastic)
            .then(|| RngStream::new(seed_for("stream")))
            .transpose()?;
        Ok(LiveSeed {
            seed_parameters: trainable(&seed_group(name), seed.variables()?),
            blend_parameters: trainable(&blend_group(name), blend.variables()?),
            alpha: Tensor::f_zeros([], (site.dtype(), site.device()))?,
            alpha_value: 0.0,
            blueprint: blueprint.clone(),
            blend_entry: blend_entry.clone(),
            blueprint_config,
            blend_config,
            seed,
            blend,
            stream,
            frozen: false,
        })
    }

    fn probe_seed(&mut self, index: usize, live: &mut LiveSeed) -> Result<(), CommandError> {
        let slot = &self.slots[index];
        let key = format!(
            "{}@{:?} {} with {}@{:?} {} on {:?} {:?}",
            live.blueprint.full_name(),
            live.blueprint.plugin().generation(),
            live.blueprint_config,
            live.blend_entry.full_name(),
            live.blend_entry.plugin().generation(),
            live.blend_config,
            slot.spec.topology,
            slot.features,
        );
        if self.probed.contains(&key) {
            return Ok(());
        }
        let promises = Promises {
            stochastic: live.blueprint.declares(Capability::Stochastic),
            identity_at_birth: live.blueprint.declares(Capability::IdentityAtBirth),
            seed_state: live.blueprint.record().state_version,
            blend_state: live.blend_entry.record().state_version,
        };
        probe(&mut live.seed, &mut live.blend, &slot.features, promises).map_err(|error| {
            CommandError::Probe { blueprint: live.blueprint.full_name(), slot: slot.name().to_owned(), error }
        })?;
        self.probed.insert(key);
        Ok(())
    }
}

/// The blueprint and the blend that a wish names.
pub(super) fn resolve(wish: &Germinate, registry: &Registry) -> Result<(Entry, Entry), CommandError> {
    let blueprint = registry.resolve(Kind::Blueprint, &wish.blueprint)?.clone();
    let blend = registry.resolve(Kind::Blend, &wish.blend)?.clone();
    Ok((blueprint, blend))
}

/// Prepares every change, or none.
pub(super) fn prepare_all(
    sink: &mut dyn ParameterSink,
    changes: impl Iterator<Item = Change>,
) -> Result<Vec<Ticket>, SinkError> {
    let mut tickets = Vec::new();
    for change in changes {
        match sink.prepare(change) {
            Ok(ticket) => tickets.push(ticket),
            Err(error) => {
                for ticket in tickets {
                    sink.abort(ticket);
                }
                return Err(error);
            }
        }
    }
    Ok(tickets)
}

/// What a seed brings, by owner.
pub(super) fn owned<'a>(
    slot: &str,
    seed_id: &str,
    live: &'a LiveSeed,
) -> [(Owner, Role, &'a [NamedParameter]); 2] {
    let (slot, seed_id) = (slot.to_owned(), seed_id.to_owned());
    let gate = Owner::Gate { slot: slot.clone(), seed_id: seed_id.clone() };
    [
        (Owner::Seed { slot, seed_id }, Role::Seed, live.seed_parameters.as_slice()),
        (gate, Role::Gate, live.blend_parameters.as_slice()),
    ]
}

/// The groups that a seed has in an optimizer.
pub(super) fn groups<'a>(
    slot: &str,
    live: &'a LiveSeed,
) -> impl Iterator<Item = (String, Role, &'a [NamedParameter])> + use<'a> {
    [
        (seed_group(slot), Role::Seed, live.seed_parameters.as_slice()),
        (blend_group(slot), Role::Gate, live.blend_parameters.as_slice()),
    ]
    .into_iter()
    .filter(|(.., parameters)| !parameters.is_empty())
}

pub(super) fn seed_group(slot: &str) -> String {
    format!("slot.{slot}.seed")
}

pub(super) fn blend_group(slot: &str) -> String {
    format!("slot.{slot}.blend")
}

/// The trainable ones of an instance's variables, by their full names.
pub(super) fn trainable(group: &str, variables: Vec<Variable>) -> Vec<NamedParameter> {
    variables
        .into_iter()
        .filter(|v| v.trainable)
        .map(|v| NamedParameter { name: format!("{group}.{}", v.name), tensor: v.tensor })
        .collect()
}

/// `null` is the default configuration, which the seam knows as empty text.
pub(super) fn config_text(config: &serde_json::Value) -> String {
    if config.is_null() { String::new() } else { config.to_string() }
}

/// A blend's own curve, as the lifecycle can keep it: one sample per tick of the ramp, if they are not too many.
pub(super) fn sample_curve(blend: &BlendInstance, ticks: u32) -> Result<Curve, CommandError> {
    let points = ticks.clamp(1, CURVE_POINTS);
    let samples = (0..=points).map(|i| blend.curve(f64::from(i) / f64::from(points)));
    Ok(Curve::sampled(&samples.collect::<Result<Vec<_>, _>>()?)?)
}
