//! Germination: a seed is built and probed without changing the model, then installed.

use super::build_seed::resolve;
use super::transaction::Transaction;
use super::vote::Question;
use crate::graft::{LiveSeed, count};
use crate::lifecycle::{AlphaSettings, BlendPlan, Germination, Lifecycle};
use crate::model::{CommandError, Executed, Germinate, MorphogeneticModel, Owner};
use kasmina_registry::Registry;
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink};

/// A germination whose fallible steps have all succeeded.
struct PreparedGermination {
    live: LiveSeed,
    lifecycle: Lifecycle,
    germination: Germination,
    transaction: Transaction,
}

impl MorphogeneticModel {
    /// Builds and probes the seed of a germination and drops it again, to find errors early. The result of
    /// the probe is cached, so that the germination itself does not run it again. Changes nothing else; the
    /// slot may be occupied.
    ///
    /// # Errors
    /// If the lifecycle, a plugin or the probe refuses the seed. An occupied slot is no error.
    pub fn prewarm(&mut self, germinate: &Germinate, registry: &Registry) -> Result<(), CommandError> {
        let index = self.slots.index_of(&germinate.slot)?;
        let slot = self.slots[index].lifecycle();
        let mut vacant = Lifecycle::new(slot.slot_id(), slot.topology().to_owned(), slot.settings().clone());
        vacant.germinate(self.planned_germination(germinate))?;
        let (blueprint, blend) = resolve(germinate, self.slots[index].spec().topology, registry)?;
        self.build_and_probe(index, germinate, &blueprint, &blend).map(drop)
    }

    /// Executes a germination: all of it or nothing.
    pub(super) fn germinate(
        &mut self,
        index: usize,
        germinate: &Germinate,
        question: &Question,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<Executed, CommandError> {
        let ready = self
            .refuse_reserved(index)
            .and_then(|()| self.prepare_germination(index, germinate, registry, sink));
        let ready = self.vote(index, question, ready, sink, |ready| ready.transaction)?;

        // From here on nothing can fail.
        let PreparedGermination { live, lifecycle, germination, transaction } = ready;
        transaction.commit(sink);
        let slot = &mut self.slots[index];
        slot.install(live, lifecycle);
        self.events.append_from(slot);
        self.structure_changed();
        Ok(Executed::Germinated(Box::new(germination)))
    }

    /// Refuses a germination beyond `max_seeds`.
    fn refuse_beyond_limit(&self) -> Result<(), CommandError> {
        let Some(limit) = self.growth.max_seeds() else { return Ok(()) };
        let living = self.slots.iter().filter(|slot| slot.lifecycle().living().is_some()).count();
        if living >= limit as usize { Err(CommandError::MaxSeeds { limit }) } else { Ok(()) }
    }

    /// Does everything of a germination that can fail, without changing the slot.
    fn prepare_germination(
        &mut self,
        index: usize,
        germinate: &Germinate,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<PreparedGermination, CommandError> {
        // Checks that need no tensor come first, before anything is built.
        let planned = self.planned_germination(germinate);
        self.refuse_beyond_limit()?;
        self.slots[index].lifecycle().clone().germinate(planned.clone())?;
        let (blueprint, blend) = resolve(germinate, self.slots[index].spec().topology, registry)?;
        let mut plan = planned.blend;
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
        Ok(PreparedGermination { live, lifecycle, germination, transaction })
    }

    /// Returns the germination as far as it is known before the seed is built.
    pub(super) fn planned_germination(&self, germinate: &Germinate) -> Germination {
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
