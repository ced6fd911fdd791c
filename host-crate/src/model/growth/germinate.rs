//! Germination: built and probed beside the living model, then taken in whole.

use super::build_seed::resolve;
use super::transaction::Transaction;
use super::vote::Question;
use crate::graft::{LiveSeed, count};
use crate::lifecycle::{AlphaSettings, BlendPlan, Germination, Lifecycle};
use crate::model::{CommandError, Executed, Germinate, MorphogeneticModel, Owner};
use kasmina_registry::Registry;
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink};

/// A germination that nothing stands in the way of any more.
struct Ready {
    live: LiveSeed,
    lifecycle: Lifecycle,
    germination: Germination,
    transaction: Transaction,
}

impl MorphogeneticModel {
    /// Builds and probes the seed of a germination and drops it again: what a germination would be refused
    /// for later is known now, and a passed probe is remembered, so that the germination itself runs none.
    /// Changes nothing else, and may be done while another seed lives in the slot.
    ///
    /// # Errors
    /// What the germination would say, if the slot were empty.
    pub fn prewarm(&mut self, germinate: &Germinate, registry: &Registry) -> Result<(), CommandError> {
        let index = self.slots.index_of(&germinate.slot)?;
        let slot = self.slots[index].lifecycle();
        let mut vacant = Lifecycle::new(slot.slot_id(), slot.topology().to_owned(), slot.settings().clone());
        vacant.germinate(self.unbuilt(germinate))?;
        let (blueprint, blend) = resolve(germinate, self.slots[index].spec().topology, registry)?;
        self.build_and_probe(index, germinate, &blueprint, &blend).map(drop)
    }

    pub(super) fn germinate(
        &mut self,
        index: usize,
        germinate: &Germinate,
        question: &Question,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Executed, CommandError> {
        let ready = self.unreserved(index).and_then(|()| self.make_ready(index, germinate, registry, sink));
        let ready = self.vote(index, question, ready, sink, |ready| ready.transaction)?;

        // From here on nothing can fail.
        let Ready { live, lifecycle, germination, transaction } = ready;
        transaction.commit(sink);
        let slot = &mut self.slots[index];
        slot.install(live, lifecycle);
        self.events.take_from(slot);
        self.restructured();
        Ok(Executed::Germinated(Box::new(germination)))
    }

    /// Refuses a germination beyond `max_seeds`.
    fn refuse_beyond_limit(&self) -> Result<(), CommandError> {
        let Some(limit) = self.growth.max_seeds() else { return Ok(()) };
        let living = self.slots.iter().filter(|slot| slot.lifecycle().living().is_some()).count();
        if living >= limit as usize { Err(CommandError::MaxSeeds { limit }) } else { Ok(()) }
    }

    /// Everything of a germination that can fail.
    fn make_ready(
        &mut self,
        index: usize,
        germinate: &Germinate,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Ready, CommandError> {
        // What needs no tensor is refused before anything is built.
        let unbuilt = self.unbuilt(germinate);
        self.refuse_beyond_limit()?;
        self.slots[index].lifecycle().clone().germinate(unbuilt.clone())?;
        let (blueprint, blend) = resolve(germinate, self.slots[index].spec().topology, registry)?;
        let mut plan = unbuilt.blend;
        let (mut live, curve) = self.build_and_probe(index, germinate, &blueprint, &blend)?;
        blend.id().clone_into(&mut plan.id);
        plan.alpha.curve = Some(plan.alpha.curve.unwrap_or(curve));

        let germination = Germination {
            plugin: Some(blueprint.plugin().name.clone()),
            generation: blueprint.plugin().generation().map(str::to_owned),
            seed_params: count(live.seed().parameters()),
            gate_params: count(live.blend().parameters()),
            host_params: self.host_parameter_count(),
            preinstalled: germinate.preinstalled,
            ..Germination::new(germinate.seed_id.clone(), blueprint.id(), plan)
        };
        let mut lifecycle = self.slots[index].lifecycle().clone();
        lifecycle.germinate(germination.clone())?;
        live.set_alpha(lifecycle.alpha())?;
        let name = self.slots[index].name();
        let added = Owner::of(name, &germinate.seed_id, &live);
        self.ownership().check(added.iter().map(|(owner, parameters)| (owner, *parameters)))?;
        let changes = live.groups(name).map(|(owner, role, parameters)| Change::Add {
            owner,
            role,
            parameters: parameters.iter().map(NamedParameter::share).collect(),
        });
        let transaction = Transaction::prepare(sink, changes)?;
        Ok(Ready { live, lifecycle, germination, transaction })
    }

    /// A germination as far as it is known before anything is built.
    pub(super) fn unbuilt(&self, germinate: &Germinate) -> Germination {
        let task = self.growth.alpha();
        let alpha = AlphaSettings {
            tempo: germinate.tempo.unwrap_or(task.tempo),
            unit: germinate.unit.unwrap_or(task.unit),
            target: germinate.target.unwrap_or(task.target),
            ..task.clone()
        };
        let plan = BlendPlan { id: germinate.blend.clone(), alpha };
        Germination {
            preinstalled: germinate.preinstalled,
            ..Germination::new(germinate.seed_id.clone(), germinate.blueprint.clone(), plan)
        }
    }
}
