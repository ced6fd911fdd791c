//! The one door through which structure changes: all or nothing.
//!
//! Each command first does everything that can fail, beside the living model: the lifecycle decides on a copy,
//! instances are built and probed, the optimizer prepares. Only then it is made visible, by steps that cannot
//! fail.

use super::command::{Command, Executed, Germinate};
use super::error::CommandError;
use super::{MorphogeneticModel, count};
use crate::graft::{LiveSeed, Promises, SeedSlot, probe};
use crate::lifecycle::{BlendPlan, Curve, Event, EventKind, Germination, Initiator, Lifecycle};
use kasmina_plugin_api::abi::{BlendInstance, Variable};
use kasmina_plugin_api::{Capability, Kind};
use kasmina_registry::{Entry, Registry};
use kasmina_torch_ext::rng::{RngFork, RngStream, derive_seed};
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink, Role, SinkError, Ticket};
use tch::Tensor;

impl MorphogeneticModel {
    /// Executes a command, or changes nothing. Either way a COMMAND event says so.
    ///
    /// # Errors
    /// Why the command was refused; slot, seed, optimizer and generators are then as before.
    pub fn execute(
        &mut self,
        command: &Command,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Executed, CommandError> {
        let result = match command {
            Command::Germinate(wish) => self.germinate(wish, registry, sink),
            Command::Advance { slot, target } => self.slot_index(slot).and_then(|index| {
                let stage = self.with_slot(index, |lifecycle| lifecycle.advance(*target))?;
                Ok(Executed::Advanced { stage })
            }),
            Command::Prune { slot, reason } => self
                .slot_index(slot)
                .and_then(|index| self.prune(index, reason, Initiator::Policy, sink))
                .map(|()| Executed::Pruned),
            Command::Wait => Ok(Executed::Waited),
        };
        self.journal(command, result.as_ref().err());
        result
    }

    /// Builds and probes the seed of a germination and drops it again: what a germination would be refused for
    /// later is known now, and a passed probe is remembered. Changes nothing else.
    ///
    /// # Errors
    /// What the germination would say.
    pub fn rehearse(&mut self, wish: &Germinate, registry: &Registry) -> Result<(), CommandError> {
        let index = self.slot_index(&wish.slot)?;
        self.slots[index].lifecycle.clone().germinate(unbuilt(wish))?;
        self.build_and_probe(index, wish, registry).map(|_| ())
    }

    fn build_and_probe(
        &mut self,
        index: usize,
        wish: &Germinate,
        registry: &Registry,
    ) -> Result<(LiveSeed, Curve), CommandError> {
        let blueprint = registry.resolve(Kind::Blueprint, &wish.blueprint)?.clone();
        let blend = registry.resolve(Kind::Blend, &wish.blend)?.clone();
        let mut live = self.build_seed(index, wish, &blueprint, &blend)?;
        self.probe_seed(index, &mut live, wish)?;
        let curve = sample_curve(&live.blend, wish.tempo)?;
        Ok((live, curve))
    }

    fn journal(&mut self, command: &Command, error: Option<&CommandError>) {
        let asked = command.slot().unwrap_or_default();
        let slot_id = self.slot(asked).map_or(asked, SeedSlot::name).to_owned();
        let seed_id = self.slot(&slot_id).and_then(|s| s.lifecycle().seed().map(|s| s.seed_id.clone()));
        self.events.push(Event {
            kind: EventKind::Command {
                command: serde_json::to_value(command).unwrap_or_default(),
                accepted: error.is_none(),
                error: error.map(|e| format!("{}: {e}", e.code())),
            },
            slot_id,
            seed_id,
        });
    }

    /// Lets a slot's lifecycle work and takes its events over.
    pub(super) fn with_slot<T>(&mut self, index: usize, body: impl FnOnce(&mut Lifecycle) -> T) -> T {
        let slot = &mut self.slots[index];
        let value = body(&mut slot.lifecycle);
        self.events.extend(slot.lifecycle.drain_events());
        value
    }

    fn germinate(
        &mut self,
        wish: &Germinate,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Executed, CommandError> {
        let index = self.slot_index(&wish.slot)?;
        let slot = &self.slots[index];
        // Everything that needs no tensor is refused before anything is built.
        let unbuilt = unbuilt(wish);
        slot.lifecycle.clone().germinate(unbuilt.clone())?;
        let mut plan = unbuilt.blend;
        let (live, curve) = self.build_and_probe(index, wish, registry)?;
        live.blend_entry.id().clone_into(&mut plan.id);
        plan.curve = Some(curve);

        let parameters = count(&live.seed_parameters) + count(&live.blend_parameters);
        let slot = &self.slots[index];
        let mut lifecycle = slot.lifecycle.clone();
        lifecycle.germinate(Germination {
            plugin: Some(live.blueprint.plugin().name.clone()),
            generation: live.blueprint.plugin().generation().map(str::to_owned),
            seed_params: count(&live.seed_parameters),
            gate_params: count(&live.blend_parameters),
            host_params: count(&self.host_parameters),
            ..Germination::new(wish.seed_id.clone(), live.blueprint.id(), plan)
        })?;
        let name = slot.name().to_owned();
        let tickets = prepare_all(
            sink,
            owned(&name, &live).map(|(owner, role, parameters)| Change::Add {
                owner,
                role,
                parameters: parameters.iter().map(NamedParameter::share).collect(),
            }),
        )?;

        // From here on nothing can fail.
        for ticket in tickets {
            sink.commit(ticket);
        }
        let slot = &mut self.slots[index];
        slot.live = Some(live);
        slot.telemetry.clear();
        self.with_slot(index, |current| *current = lifecycle);
        Ok(Executed::Germinated { parameters })
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
        let seed = {
            let _fork = RngFork::seeded(seed_for("seed"))?;
            blueprint.make_seed(&site, &config_text(&wish.blueprint_config))?
        };
        let blend = {
            let _fork = RngFork::seeded(seed_for("blend"))?;
            blend_entry.make_blend(&site, &config_text(&wish.blend_config))?
        };
        let stream = blueprint
            .declares(Capability::Stochastic)
            .then(|| RngStream::new(seed_for("stream")))
            .transpose()?;
        Ok(LiveSeed {
            seed_parameters: trainable(&seed_owner(name), seed.variables()?),
            blend_parameters: trainable(&blend_owner(name), blend.variables()?),
            alpha: Tensor::f_zeros([], (site.dtype(), site.device()))?,
            alpha_value: 0.0,
            blueprint: blueprint.clone(),
            blend_entry: blend_entry.clone(),
            seed,
            blend,
            stream,
        })
    }

    fn probe_seed(
        &mut self,
        index: usize,
        live: &mut LiveSeed,
        wish: &Germinate,
    ) -> Result<(), CommandError> {
        let slot = &self.slots[index];
        let key = format!(
            "{}@{:?} {} with {}@{:?} {} on {:?} {:?}",
            live.blueprint.full_name(),
            live.blueprint.plugin().generation(),
            config_text(&wish.blueprint_config),
            live.blend_entry.full_name(),
            live.blend_entry.plugin().generation(),
            config_text(&wish.blend_config),
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

    pub(super) fn prune(
        &mut self,
        index: usize,
        reason: &str,
        initiator: Initiator,
        sink: &mut dyn ParameterSink,
    ) -> Result<(), CommandError> {
        let mut next = self.slots[index].lifecycle.clone();
        next.prune(reason, initiator)?;
        let tickets = self.prepare_removal(index, sink)?;
        self.with_slot(index, |lifecycle| *lifecycle = next);
        self.finish_removal(index, tickets, sink);
        Ok(())
    }

    /// Asks the optimizer to let a slot's parameters go.
    pub(super) fn prepare_removal(
        &self,
        index: usize,
        sink: &mut dyn ParameterSink,
    ) -> Result<Vec<Ticket>, SinkError> {
        let slot = &self.slots[index];
        let Some(live) = &slot.live else { return Ok(Vec::new()) };
        prepare_all(sink, owned(slot.name(), live).map(|(owner, ..)| Change::Remove { owner }))
    }

    /// Removes the seed from forward and its parameters from the optimizer; frees its memory. Cannot fail.
    pub(super) fn finish_removal(
        &mut self,
        index: usize,
        tickets: Vec<Ticket>,
        sink: &mut dyn ParameterSink,
    ) {
        let slot = &mut self.slots[index];
        slot.live = None;
        slot.telemetry.clear();
        for ticket in tickets {
            sink.commit(ticket);
        }
    }
}

/// A germination as far as it is known before anything is built.
fn unbuilt(wish: &Germinate) -> Germination {
    let plan = BlendPlan { tempo: wish.tempo, target: wish.target, ..BlendPlan::new(wish.blend.clone()) };
    Germination::new(wish.seed_id.clone(), wish.blueprint.clone(), plan)
}

/// Prepares every change, or none.
fn prepare_all(
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

/// The groups that a seed has in an optimizer.
fn owned<'a>(
    slot: &str,
    live: &'a LiveSeed,
) -> impl Iterator<Item = (String, Role, &'a [NamedParameter])> + use<'a> {
    [
        (seed_owner(slot), Role::Seed, live.seed_parameters.as_slice()),
        (blend_owner(slot), Role::Gate, live.blend_parameters.as_slice()),
    ]
    .into_iter()
    .filter(|(.., parameters)| !parameters.is_empty())
}

fn seed_owner(slot: &str) -> String {
    format!("slot.{slot}.seed")
}

fn blend_owner(slot: &str) -> String {
    format!("slot.{slot}.blend")
}

fn trainable(owner: &str, variables: Vec<Variable>) -> Vec<NamedParameter> {
    variables
        .into_iter()
        .filter(|v| v.trainable)
        .map(|v| NamedParameter { name: format!("{owner}.{}", v.name), tensor: v.tensor })
        .collect()
}

/// `null` is the default configuration, which the seam knows as empty text.
fn config_text(config: &serde_json::Value) -> String {
    if config.is_null() { String::new() } else { config.to_string() }
}

/// A blend's own curve, as the lifecycle can keep it: one sample per tick of the ramp.
fn sample_curve(blend: &BlendInstance, tempo: u32) -> Result<Curve, CommandError> {
    let samples = (0..=tempo).map(|i| blend.curve(f64::from(i) / f64::from(tempo)));
    Ok(Curve::sampled(&samples.collect::<Result<Vec<_>, _>>()?)?)
}
