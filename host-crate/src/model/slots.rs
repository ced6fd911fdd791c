//! The slots of a model, in the order in which forward visits them.

use super::CommandError;
use crate::graft::{LiveSeed, Mark, Pass, Queued, SeedSlot, SlotTapHandler};
use kasmina_plugin_api::{Mode, PluginError, SlotSpec};
use kasmina_torch_ext::NamedParameter;
use std::ops::{Index, IndexMut};

/// The requested slots, and the mapping from the host's taps to them.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<SeedSlot>,
    /// For each of the host's taps, the index of the requested slot; `None` if the slot was not requested.
    taps: Vec<Option<usize>>,
}

impl Slots {
    pub(super) fn new(slots: Vec<SeedSlot>, taps: Vec<Option<usize>>) -> Self {
        Self { slots, taps }
    }

    pub(super) fn as_slice(&self) -> &[SeedSlot] {
        &self.slots
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, SeedSlot> {
        self.slots.iter()
    }

    pub(super) fn iter_mut(&mut self) -> std::slice::IterMut<'_, SeedSlot> {
        self.slots.iter_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Returns the seed in a slot; `None` for an empty slot.
    pub(super) fn live(&self, index: usize) -> Option<&LiveSeed> {
        self.slots.get(index).and_then(SeedSlot::live)
    }

    /// Returns the index of a slot, given its name or one of its aliases.
    pub(super) fn index_of(&self, name: &str) -> Result<usize, CommandError> {
        self.slots.iter().position(|s| s.answers_to(name)).ok_or_else(|| CommandError::UnknownSlot {
            slot: name.to_owned(),
            known: self.slots.iter().map(|s| describe(s.spec())).collect(),
        })
    }

    /// Returns the tap handler that runs the slots in one forward of the host.
    pub(super) fn tap_handler<'m, 'p>(&'m mut self, pass: Pass<'p>) -> SlotTapHandler<'m, 'p> {
        SlotTapHandler::new(&mut self.slots, &self.taps, pass)
    }

    /// Writes the alphas of the lifecycles to the device. For use between steps only.
    pub(super) fn sync_alphas(&mut self, mode: Mode) -> Result<(), PluginError> {
        self.slots.iter_mut().try_for_each(|slot| slot.sync_alpha(mode))
    }

    /// Returns the trainable parameters of all seeds and blends, slot by slot, sorted by name within each.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &NamedParameter> {
        self.slots.iter().flat_map(SeedSlot::parameters)
    }

    /// Returns the length of each slot's measurement queues.
    pub(super) fn marks(&self) -> Vec<Mark> {
        self.slots.iter().map(SeedSlot::mark).collect()
    }

    /// Removes and returns what each slot has queued after its mark.
    pub(super) fn split_off(&mut self, marks: &[Mark]) -> Vec<Queued> {
        self.slots.iter_mut().zip(marks).map(|(slot, mark)| slot.split_off(*mark)).collect()
    }

    /// Queues copies of the measurements of a captured step.
    pub(super) fn queue_copies(&mut self, queued: &[Queued]) -> Result<(), PluginError> {
        self.slots.iter_mut().zip(queued).try_for_each(|(slot, queued)| slot.queue_copies(queued))
    }
}

impl Index<usize> for Slots {
    type Output = SeedSlot;
    fn index(&self, index: usize) -> &SeedSlot {
        &self.slots[index]
    }
}

impl IndexMut<usize> for Slots {
    fn index_mut(&mut self, index: usize) -> &mut SeedSlot {
        &mut self.slots[index]
    }
}

/// Returns the slot's name with its aliases, for messages.
pub(super) fn describe(spec: &SlotSpec) -> String {
    if spec.aliases.is_empty() {
        spec.name.clone()
    } else {
        format!("{} ({})", spec.name, spec.aliases.join(", "))
    }
}
