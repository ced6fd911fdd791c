//! What a model keeps between two steps, and a model that goes on from it.

use super::growth::{PrefetchState, Transaction};
use super::{HOST_OWNER, MorphogeneticModel};
use crate::graft::{RestoredSlot, SeedSlot};
use crate::lifecycle::Event;
use crate::state::{EntryName, GivenTensors, PartState, SlotState, StateError, StateTensors, copy_all};
use kasmina_plugin_api::Kind;
use kasmina_registry::{Entry, Registry, RegistryError};
use kasmina_torch_ext::rng::RngFork;
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink};
use serde::{Deserialize, Serialize};

/// The numbers and texts of a model's state: structure first, then what the parts have measured and counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelState {
    /// How the host was made, and its state bytes.
    pub host: PartState,
    /// Every slot, in the order of forward.
    pub slots: Vec<SlotState>,
    /// Germinations that are being made ready ahead.
    pub prefetches: Vec<PrefetchState>,
    /// Training steps that were made.
    pub step: u64,
    /// Events that nobody has taken out yet, oldest first.
    pub events: Vec<Event>,
}

impl MorphogeneticModel {
    /// What it keeps between two steps: numbers and texts, and its tensors by name. The tensors are handles:
    /// whoever keeps them for longer than until the next step copies them.
    ///
    /// # Errors
    /// If a build is on trial, or author code cannot tell its state.
    pub fn state(&self) -> Result<(ModelState, StateTensors), StateError> {
        // Without `..`: whoever adds a part decides here whether it lasts.
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

    /// Goes on from a state. Whatever lives in the slots leaves; what the state has takes its place, built
    /// again through `resolve` and filled strictly by name. The optimizer learns who comes and goes; its own
    /// state is given back by [`Optimizer::take_over`](kasmina_torch_ext::optim::Optimizer::take_over). Every
    /// tensor that is used is taken out of `tensors`.
    ///
    /// # Errors
    /// If the host or a slot is another, an entry is missing, or a tensor is missing or has another shape or
    /// dtype; the model is then as before.
    pub fn restore(
        &mut self,
        state: &ModelState,
        tensors: &mut GivenTensors,
        resolve: &dyn Fn(Kind, &EntryName) -> Result<Entry, RegistryError>,
        registry: &Registry,
        sink: &mut dyn ParameterSink,
    ) -> Result<(), StateError> {
        let found = EntryName::of(self.network.entry());
        if (&found.plugin, &found.id) != (&state.host.entry.plugin, &state.host.entry.id) {
            let wanted = state.host.entry.full_name();
            return Err(StateError::Host { wanted, found: found.full_name() });
        }
        // Building draws initial weights, which are thrown away.
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
        self.restructured();
        Ok(())
    }

    /// Builds every slot of a state. The order of the model's slots is kept.
    fn prepare_slots(
        &self,
        state: &ModelState,
        tensors: &mut GivenTensors,
        resolve: &dyn Fn(Kind, &EntryName) -> Result<Entry, RegistryError>,
    ) -> Result<Vec<RestoredSlot>, StateError> {
        let known = |slots: &mut dyn Iterator<Item = &str>| slots.map(str::to_owned).collect();
        let mine = || self.slots.iter().map(SeedSlot::name);
        if let Some(gone) = state.slots.iter().find(|kept| !mine().any(|name| name == kept.slot)) {
            return Err(StateError::NoSlot { slot: gone.slot.clone(), known: known(&mut mine()) });
        }
        let restored = self.slots.iter().map(|slot| {
            let kept = state.slots.iter().find(|kept| kept.slot == slot.name());
            let kept = kept.ok_or_else(|| StateError::NewSlot {
                slot: slot.name().to_owned(),
                known: known(&mut state.slots.iter().map(|kept| kept.slot.as_str())),
            })?;
            slot.prepare_restore(kept, tensors, resolve)
        });
        restored.collect()
    }

    /// What the optimizer must be told so that it holds the parameters of what was built, and no others but
    /// the host's.
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
