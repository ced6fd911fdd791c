//! The slots of a model, in the order of forward.

use super::CommandError;
use crate::graft::{Grafting, LiveSeed, Mark, Pass, Queued, SeedSlot};
use kasmina_plugin_api::{Mode, PluginError, SlotSpec};
use kasmina_torch_ext::NamedParameter;
use std::ops::{Index, IndexMut};

/// The slots that were asked for, and which of the host's taps leads to which of them.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<SeedSlot>,
    /// For each of the host's taps, the position of the slot that was asked for there.
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

    /// What lives in a slot.
    pub(super) fn live(&self, index: usize) -> Option<&LiveSeed> {
        self.slots.get(index).and_then(SeedSlot::live)
    }

    /// The position of a slot by its name or one of its aliases.
    pub(super) fn index_of(&self, name: &str) -> Result<usize, CommandError> {
        self.slots.iter().position(|s| s.answers_to(name)).ok_or_else(|| CommandError::UnknownSlot {
            slot: name.to_owned(),
            known: self.slots.iter().map(|s| describe(s.spec())).collect(),
        })
    }

    /// Lends the slots to the host for one forward.
    pub(super) fn graft<'m, 'p>(&'m mut self, pass: Pass<'p>) -> Grafting<'m, 'p> {
        Grafting::new(&mut self.slots, &self.taps, pass)
    }

    /// The lifecycles move alpha; the device learns of it here, between two steps.
    pub(super) fn sync_alphas(&mut self, mode: Mode) -> Result<(), PluginError> {
        self.slots.iter_mut().try_for_each(|slot| slot.sync_alpha(mode))
    }

    /// The trainable parameters of all seeds and gates, slot by slot, sorted by name within each.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &NamedParameter> {
        self.slots.iter().flat_map(SeedSlot::parameters)
    }

    /// How much each slot has queued.
    pub(super) fn marks(&self) -> Vec<Mark> {
        self.slots.iter().map(SeedSlot::mark).collect()
    }

    /// Takes out what each slot has queued since.
    pub(super) fn split_off(&mut self, marks: &[Mark]) -> Vec<Queued> {
        self.slots.iter_mut().zip(marks).map(|(slot, mark)| slot.split_off(*mark)).collect()
    }

    /// Queues copies of what a recorded step has measured.
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

/// A slot by its name and its aliases.
pub(super) fn describe(spec: &SlotSpec) -> String {
    if spec.aliases.is_empty() {
        spec.name.clone()
    } else {
        format!("{} ({})", spec.name, spec.aliases.join(", "))
    }
}
