//! The structure revision of a model, and the names of the plugins in its forward graph.

use super::slots::Slots;
use crate::graft::{self, Pulse};
use kasmina_registry::Entry;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Structure revision of a model, and the tracker of its plugin calls.
#[derive(Debug)]
pub(super) struct Structure {
    /// Structure revision, unique in the process. Changes whenever the forward graph changes.
    revision: u64,
    pulse: Arc<Pulse>,
}

impl Structure {
    pub(super) fn new(pulse: Arc<Pulse>, host: &Entry, slots: &Slots) -> Self {
        let mut structure = Self { revision: 0, pulse };
        structure.changed(host, slots);
        structure
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// Returns the tracker of the plugin call that the model's thread is in.
    pub(super) fn pulse(&self) -> &Arc<Pulse> {
        &self.pulse
    }

    /// Updates revision and names after a change of the forward graph.
    pub(super) fn changed(&mut self, host: &Entry, slots: &Slots) {
        self.revision = next_revision();
        let mut names = BTreeMap::from([(graft::HOST, format!("host `{}`", host.full_name()))]);
        for (index, slot) in slots.iter().enumerate() {
            let Some((blueprint, blend)) = slot.entries() else { continue };
            let name = |part: &str, entry: &Entry| {
                format!("{part} `{}` in slot `{}`", entry.full_name(), slot.name())
            };
            names.insert(Pulse::code(index, false), name("seed of", blueprint));
            names.insert(Pulse::code(index, true), name("blend", blend));
        }
        self.pulse.set_names(names);
    }
}

fn next_revision() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
