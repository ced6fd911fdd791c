//! Saving and restoring everything that a forward may change, so that it can be repeated.

use crate::graft::{Buffers, SeedSlot, SlotSnapshot};
use crate::model::ModelError;
use crate::model::network::Network;
use crate::model::slots::Slots;
use kasmina_plugin_api::abi::Variable;
use kasmina_torch_ext::rng::RngState;

/// Everything that a forward may change, as it was between two forwards.
#[derive(Debug)]
pub(in crate::model) struct Snapshot {
    generators: RngState,
    buffers: Buffers,
    slots: Vec<Option<SlotSnapshot>>,
}

impl Snapshot {
    /// Saves generators, buffers, random streams and state bytes.
    pub(in crate::model) fn of(network: &Network, slots: &Slots) -> Result<Self, ModelError> {
        let mut variables: Vec<Variable> = network.variables()?;
        for live in slots.iter().filter_map(SeedSlot::live) {
            variables.extend(live.variables()?);
        }
        let slots = slots.iter().map(SeedSlot::snapshot).collect::<Result<_, _>>()?;
        Ok(Self { generators: RngState::save()?, buffers: Buffers::of(&variables), slots })
    }

    /// Restores everything, except the state bytes of blends in slots for which `other_blend` returns true.
    pub(in crate::model) fn restore(
        &self,
        slots: &mut Slots,
        other_blend: impl Fn(usize) -> bool,
    ) -> Result<(), ModelError> {
        self.generators.restore()?;
        for (slot, kept) in slots.iter_mut().zip(&self.slots) {
            if let Some(kept) = kept {
                slot.restore_stream(kept);
            }
        }
        self.buffers.restore()?;
        for (index, (slot, kept)) in slots.iter_mut().zip(&self.slots).enumerate() {
            if let Some(kept) = kept {
                slot.restore_states(kept, !other_blend(index))?;
            }
        }
        Ok(())
    }
}
