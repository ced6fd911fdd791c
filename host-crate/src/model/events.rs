//! What has happened in a model since somebody asked.

use super::event_sink::{EventSink, Listener};
use crate::graft::SeedSlot;
use crate::lifecycle::{Event, EventKind};

/// The events of a model, oldest first.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    events: Vec<Event>,
    listener: Listener,
}

impl EventLog {
    pub(super) fn as_slice(&self) -> &[Event] {
        &self.events
    }

    pub(super) fn push(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Notes something that concerns the whole model.
    pub(super) fn tell(&mut self, kind: EventKind) {
        self.push(Event { kind, slot_id: String::new(), seed_id: None });
    }

    /// Takes over what a slot's lifecycle tells.
    pub(super) fn take_from(&mut self, slot: &mut SeedSlot) {
        self.events.extend(slot.drain_events());
    }

    /// Goes on with events that nobody has taken yet.
    pub(super) fn restore(&mut self, events: Vec<Event>) {
        self.events = events;
        self.listener.skip(&self.events);
    }

    pub(super) fn drain(&mut self) -> Vec<Event> {
        // The listener receives the events of a step before they are taken out.
        self.tell_listener();
        let events = std::mem::take(&mut self.events);
        self.listener.skip(&self.events);
        events
    }

    /// Sets who hears of events from now on.
    pub(super) fn listen(&mut self, sink: Option<Box<dyn EventSink>>) {
        self.listener.replace(sink, &self.events);
    }

    /// Tells the listener of what has happened since it was told last.
    pub(super) fn tell_listener(&mut self) {
        self.listener.tell(&self.events);
    }
}
