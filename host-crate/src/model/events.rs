//! The log of a model's events.

use super::event_sink::{EventSink, Listener};
use crate::graft::SeedSlot;
use crate::lifecycle::{Event, EventKind};

/// The events of a model that were not drained yet, oldest first, and their listener.
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

    /// Adds an event of the whole model, without a slot.
    pub(super) fn push_for_model(&mut self, kind: EventKind) {
        self.push(Event { kind, slot_id: String::new(), seed_id: None });
    }

    /// Moves the events of a slot's lifecycle into the log.
    pub(super) fn append_from(&mut self, slot: &mut SeedSlot) {
        self.events.extend(slot.drain_events());
    }

    /// Replaces the log by the events of a saved state, without delivering them to the listener.
    pub(super) fn restore(&mut self, events: Vec<Event>) {
        self.events = events;
        self.listener.mark_delivered(&self.events);
    }

    /// Removes and returns all events.
    pub(super) fn drain(&mut self) -> Vec<Event> {
        // Deliver events to the listener before they are removed.
        self.notify_listener();
        let events = std::mem::take(&mut self.events);
        self.listener.mark_delivered(&self.events);
        events
    }

    /// Sets the listener; it receives only later events.
    pub(super) fn set_listener(&mut self, sink: Option<Box<dyn EventSink>>) {
        self.listener.replace(sink, &self.events);
    }

    /// Delivers new events to the listener.
    pub(super) fn notify_listener(&mut self) {
        self.listener.notify(&self.events);
    }
}
