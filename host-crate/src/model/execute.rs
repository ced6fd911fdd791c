//! The one door through which structure changes: all or nothing.
//!
//! Each command first does everything that can fail, beside the living model: the lifecycle decides on a copy,
//! instances are built and probed, the optimizer prepares. Only then it is made visible, by steps that cannot
//! fail.

use super::command::{Command, Executed, Germinate};
use super::error::CommandError;
use super::{MorphogeneticModel, count};
use crate::graft::{LiveSeed, SeedSlot, probe};
use crate::lifecycle::{BlendPlan, Curve, Event, EventKind, Germination, Initiator, Lifecycle};
use kasmina_plugin_api::abi::{BlendInstance, Variable};
use kasmina_plugin_api::{Capability, Kind, PluginError};
use kasmina_registry::{Entry, Registry};
use kasmina_torch_ext::rng::{RngFork, RngStream, derive_seed};
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink, SinkError, Ticket};
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
                self.sync_alpha(index)?;
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
        self.probe_seed(index, &mut live, &wish.blueprint_config)?;
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

    pub(super) fn sync_alpha(&mut self, index: usize) -> Result<(), PluginError> {
        self.slots[index].sync_alpha()
    }

    fn germinate(
        &mut self,
        wish: &Germinate,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Executed, CommandError> {
        let Germinate { seed_id, tempo, target, .. } = wish;
        let index = self.slot_index(&wish.slot)?;
        let slot = &self.slots[index];
        let mut plan = BlendPlan { tempo: *tempo, target: *target, ..BlendPlan::new(wish.blend.clone()) };
        // Everything that needs no tensor is refused before anything is built.
        let request = Germination::new(seed_id.clone(), wish.blueprint.clone(), plan.clone());
        slot.lifecycle.clone().germinate(request)?;
        let (live, curve) = self.build_and_probe(index, wish, registry)?;
        plan.curve = Some(curve);

        let parameters = count(&live.seed_parameters) + count(&live.blend_parameters);
        let slot = &self.slots[index];
        let mut lifecycle = slot.lifecycle.clone();
        lifecycle.germinate(Germination {
            plugin: Some(live.blueprint.plugin().name.clone()),
            generation: live.blueprint.plugin().generation().map(str::to_owned),
            seed_params: parameters,
            host_params: count(&self.host_parameters),
            ..Germination::new(seed_id.clone(), live.blueprint.id(), plan)
        })?;
        let name = slot.name().to_owned();
        let tickets = prepare_all(
            sink,
            [(seed_owner(&name), &live.seed_parameters), (blend_owner(&name), &live.blend_parameters)]
                .into_iter()
                .filter(|(_, parameters)| !parameters.is_empty())
                .map(|(owner, parameters)| Change::Add { owner, parameters: handles(parameters) }),
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
        config: &serde_json::Value,
    ) -> Result<(), CommandError> {
        let slot = &self.slots[index];
        let key = format!(
            "{}@{:?} {} with {}@{:?} on {:?} {:?}",
            live.blueprint.full_name(),
            live.blueprint.plugin().generation(),
            config_text(config),
            live.blend_entry.full_name(),
            live.blend_entry.plugin().generation(),
            slot.spec.topology,
            slot.features,
        );
        if self.probed.contains(&key) {
            return Ok(());
        }
        let stochastic = live.blueprint.declares(Capability::Stochastic);
        let version = live.blueprint.record().state_version;
        probe(&mut live.seed, &mut live.blend, &slot.features, stochastic, version).map_err(|error| {
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
        let slot = &self.slots[index];
        slot.lifecycle.prunable()?;
        let tickets = self.prepare_removal(index, sink)?;
        self.with_slot(index, |lifecycle| lifecycle.prune(reason, initiator))?;
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
        let name = slot.name();
        prepare_all(
            sink,
            [(seed_owner(name), &live.seed_parameters), (blend_owner(name), &live.blend_parameters)]
                .into_iter()
                .filter(|(_, parameters)| !parameters.is_empty())
                .map(|(owner, _)| Change::Remove { owner }),
        )
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

fn handles(parameters: &[NamedParameter]) -> Vec<NamedParameter> {
    parameters
        .iter()
        .map(|p| NamedParameter { name: p.name.clone(), tensor: p.tensor.shallow_clone() })
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
