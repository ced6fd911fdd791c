//! Saving and restoring the state of a model.

use super::growth::{PrefetchState, Transaction};
use super::{HOST_OWNER, MorphogeneticModel};
use crate::graft::{RestoredSlot, SeedSlot};
use crate::lifecycle::Event;
use crate::state::{EntryName, PartState, RestoredTensors, SlotState, StateError, StateTensors, copy_all};
use kasmina_plugin_api::Kind;
use kasmina_registry::{Entry, Registry, RegistryError};
use kasmina_torch_ext::rng::RngFork;
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink};
use serde::{Deserialize, Serialize};

/// The serialisable part of a model's state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelState {
    /// Entry, configuration and state bytes of the host.
    pub host: PartState,
    /// State of every slot, in the order in which forward visits them.
    pub slots: Vec<SlotState>,
    /// Prefetched germinations.
    pub prefetches: Vec<PrefetchState>,
    /// Number of completed training steps.
    pub step: u64,
    /// Events that were not drained yet, oldest first.
    pub events: Vec<Event>,
}

impl MorphogeneticModel {
    /// Returns the state of the model between two training steps: the serialisable part, and the tensors by
    /// name. The tensors share memory with the model, so copy them before the next step.
    ///
    /// # Errors
    /// If a build is on trial, or a plugin fails to return its state.
    pub fn state(&self) -> Result<(ModelState, StateTensors), StateError> {
        // Without `..`: a new field does not compile until it is listed here as saved or not.
        let Self { network, slots, growth, swapping, telemetry, structure: _, events, consensus: _ } = self;
        if swapping.is_on_trial() {
            return Err(StateError::OnTrial);
        }
        let mut tensors = StateTensors::default();
        let host = network.state(&mut tensors)?;
        let slots = slots.iter().map(|slot| slot.state(&mut tensors)).collect::<Result<_, _>>()?;
        let prefetches = growth.state(|index| self.slots[index].name().to_owned());
        let state = ModelState {
            host,
            slots,
            prefetches,
            step: telemetry.step(),
            events: events.as_slice().to_vec(),
        };
        Ok((state, tensors))
    }

    /// Restores the model from a state.
    ///
    /// The seeds of the state replace those in the slots: they are built from the entries that `resolve`
    /// returns, and get their tensors by name. Every tensor that is used is removed from `tensors`. The
    /// optimizer is asked to add and remove parameters accordingly; its own state is restored with
    /// [`Optimizer::take_over`](kasmina_torch_ext::optim::Optimizer::take_over).
    ///
    /// # Errors
    /// If the host or a slot differs, an entry is missing, or a tensor is missing or has another shape or
    /// dtype; the model is then unchanged.
    pub fn restore(
        &mut self,
        state: &ModelState,
        tensors: &mut RestoredTensors,
        resolve: &dyn Fn(Kind, &EntryName) -> Result<Entry, RegistryError>,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<(), StateError> {
        let found = EntryName::of(self.network.entry());
        if (&found.plugin, &found.id) != (&state.host.entry.plugin, &state.host.entry.id) {
            let wanted = state.host.entry.full_name();
            return Err(StateError::Host { wanted, found: found.full_name() });
        }
        // Building draws initial weights, which are overwritten; the fork keeps the generators unchanged.
        let _fork = RngFork::here()?;
        let host = tensors.take_variables(HOST_OWNER, self.network.variables()?)?;
        let restored = self.prepare_slots(state, tensors, resolve)?;
        let prefetches = self.prepare_prefetches(&state.prefetches, registry)?;
        let transaction = Transaction::prepare(sink, self.changes(&restored))?;
        if let Err(error) = copy_all(&host).and_then(|()| self.network.restore(&state.host)) {
            transaction.abort(sink);
            return Err(error);
        }
        // From here on nothing can fail.
        transaction.commit(sink);
        for (slot, restored) in self.slots.iter_mut().zip(restored) {
            slot.restore(restored);
        }
        self.growth.restore(prefetches);
        self.telemetry.restore(state.step);
        self.events.restore(state.events.clone());
        self.structure_changed();
        Ok(())
    }

    /// Builds the slots of a state, in the order of the model's slots.
    fn prepare_slots(
        &self,
        state: &ModelState,
        tensors: &mut RestoredTensors,
        resolve: &dyn Fn(Kind, &EntryName) -> Result<Entry, RegistryError>,
    ) -> Result<Vec<RestoredSlot>, StateError> {
        let names = |slots: &mut dyn Iterator<Item = &str>| slots.map(str::to_owned).collect();
        let own_names = || self.slots.iter().map(SeedSlot::name);
        if let Some(unknown) = state.slots.iter().find(|kept| !own_names().any(|name| name == kept.slot)) {
            return Err(StateError::NoSlot { slot: unknown.slot.clone(), known: names(&mut own_names()) });
        }
        let restored = self.slots.iter().map(|slot| {
            let kept = state.slots.iter().find(|kept| kept.slot == slot.name());
            let kept = kept.ok_or_else(|| StateError::MissingSlot {
                slot: slot.name().to_owned(),
                known: names(&mut state.slots.iter().map(|kept| kept.slot.as_str())),
            })?;
            slot.prepare_restore(kept, tensors, resolve)
        });
        restored.collect()
    }

    /// Returns the changes after which the optimizer holds the parameters of the restored slots and of the
    /// host, and no others.
    fn changes(&self, restored: &[RestoredSlot]) -> Vec<Change> {
        let mut changes = Vec::new();
        for (slot, restored) in self.slots.iter().zip(restored) {
            let name = slot.name();
            let mut leaving: Vec<String> =
                slot.live().into_iter().flat_map(|live| live.groups(name).map(|(owner, ..)| owner)).collect();
            for (owner, role, parameters) in restored.live().into_iter().flat_map(|live| live.groups(name)) {
                let parameters = parameters.iter().map(NamedParameter::share).collect();
                let known = leaving.iter().position(|left| *left == owner).map(|at| leaving.remove(at));
                changes.push(match known {
                    Some(_) => Change::Substitute { owner, role, parameters },
                    None => Change::Add { owner, role, parameters },
                });
            }
            changes.extend(leaving.into_iter().map(|owner| Change::Remove { owner }));
        }
        changes
    }
}
