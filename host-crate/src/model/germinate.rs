//! Germination: built and probed beside the living model, then taken in whole.

use super::command::{Executed, Germinate};
use super::error::CommandError;
use super::execute::Question;
use super::{MorphogeneticModel, Owner, count};
use crate::graft::{LiveSeed, blend_group, seed_group};
use crate::lifecycle::{AlphaSettings, BlendPlan, Germination, Lifecycle};
use kasmina_plugin_api::{Kind, Topology};
use kasmina_registry::{Entry, Registry};
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink, Role, SinkError, Ticket};

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
    /// nothing else, and may be done while another seed lives in the slot.
    ///
    /// # Errors
    /// What the germination would say, if the slot were empty.
    pub fn prewarm(&mut self, wish: &Germinate, registry: &Registry) -> Result<(), CommandError> {
        let index = self.slot_index(&wish.slot)?;
        let slot = &self.slots[index].lifecycle;
        let mut vacant = Lifecycle::new(slot.slot_id(), slot.topology(), slot.settings().clone());
        vacant.germinate(self.unbuilt(wish))?;
        let (blueprint, blend) = resolve(wish, self.slots[index].lifecycle.topology(), registry)?;
        self.build_and_probe(index, wish, &blueprint, &blend).map(drop)
    }

    pub(super) fn germinate(
        &mut self,
        index: usize,
        wish: &Germinate,
        question: &Question,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Executed, CommandError> {
        let ready = self.unreserved(index).and_then(|()| self.make_ready(index, wish, registry, sink));
        let ready = self.settle(index, question, ready, sink, |ready| ready.tickets)?;

        // From here on nothing can fail.
        let Ready { live, lifecycle, germination, tickets } = ready;
        for ticket in tickets {
            sink.commit(ticket);
        }
        let slot = &mut self.slots[index];
        slot.monitor.register(live.seed_parameters.iter().map(|p| &p.tensor));
        slot.live = Some(live);
        self.with_slot(index, |current| *current = lifecycle);
        self.restructured();
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
        let (blueprint, blend) = resolve(wish, self.slots[index].lifecycle.topology(), registry)?;
        let mut plan = unbuilt.blend;
        let (mut live, curve) = self.build_and_probe(index, wish, &blueprint, &blend)?;
        blend.id().clone_into(&mut plan.id);
        plan.alpha.curve = Some(plan.alpha.curve.unwrap_or(curve));

        let germination = Germination {
            plugin: Some(blueprint.plugin().name.clone()),
            generation: blueprint.plugin().generation().map(str::to_owned),
            seed_params: count(&live.seed_parameters),
            gate_params: count(&live.blend_parameters),
            host_params: count(&self.host_parameters),
            whole: wish.whole,
            ..Germination::new(wish.seed_id.clone(), blueprint.id(), plan)
        };
        let mut lifecycle = self.slots[index].lifecycle.clone();
        lifecycle.germinate(germination.clone())?;
        live.set_alpha(lifecycle.alpha())?;
        let name = self.slots[index].name();
        let brought = Owner::of(name, &wish.seed_id, &live);
        self.ownership().check(brought.iter().map(|(owner, parameters)| (owner, *parameters)))?;
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
        Germination {
            whole: wish.whole,
            ..Germination::new(wish.seed_id.clone(), wish.blueprint.clone(), plan)
        }
    }
}

/// The blueprint and the blend that a wish for a slot of this topology names.
pub(super) fn resolve(
    wish: &Germinate,
    topology: Topology,
    registry: &Registry,
) -> Result<(Entry, Entry), CommandError> {
    let blueprint = registry.resolve_for(Kind::Blueprint, &wish.blueprint, topology)?;
    let blend = registry.resolve_for(Kind::Blend, &wish.blend, topology)?;
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

/// `null` is the default configuration, which the seam knows as empty text.
pub(super) fn config_text(config: &serde_json::Value) -> String {
    if config.is_null() { String::new() } else { config.to_string() }
}
