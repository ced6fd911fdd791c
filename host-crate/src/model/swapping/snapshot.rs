//! Everything that a forward may move: kept, and put back, so that the next one sees the same.

use crate::graft::{Buffers, SeedSlot, SlotSnapshot};
use crate::model::ModelError;
use crate::model::network::Network;
use crate::model::slots::Slots;
use kasmina_plugin_api::abi::Variable;
use kasmina_torch_ext::rng::RngState;

/// A model as it was between two forwards.
#[derive(Debug)]
pub(in crate::model) struct Snapshot {
    generators: RngState,
    buffers: Buffers,
    slots: Vec<Option<SlotSnapshot>>,
}

impl Snapshot {
    /// Keeps generators, buffers, streams and state bytes.
    pub(in crate::model) fn of(network: &Network, slots: &Slots) -> Result<Self, ModelError> {
        let mut variables: Vec<Variable> = network.variables()?;
        for live in slots.iter().filter_map(SeedSlot::live) {
            variables.extend(live.variables()?);
        }
        let kept = slots.iter().map(SeedSlot::snapshot).collect::<Result<_, _>>()?;
        Ok(Self { generators: RngState::save()?, buffers: Buffers::of(&variables), slots: kept })
    }

    /// Puts everything back where it was, but for the state of blends in slots where another takes their
    /// place.
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
        self.buffers.put_back()?;
        for (index, (slot, kept)) in slots.iter_mut().zip(&self.slots).enumerate() {
            if let Some(kept) = kept {
                slot.restore_states(kept, !other_blend(index))?;
            }
        }
        Ok(())
    }
}
