//! A listener for the events of a model.

use crate::lifecycle::Event;
use std::error::Error;
use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Longest time that a listener may take in one delivery. Training waits for it.
const MAX_DURATION: Duration = Duration::from_secs(1);

/// Receives the events of a model after a command and at the end of an epoch, never in a training step. The
/// events stay in the model until
/// [`drain_events`](crate::MorphogeneticModel::drain_events) takes them.
pub trait EventSink: Send + Debug {
    /// Receives one event.
    ///
    /// # Errors
    /// If the event cannot be handled; the listener is then dropped.
    fn event(&mut self, event: &Event) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// The listener of a model; empty if none is set or it was dropped.
#[derive(Debug, Default)]
pub(super) struct Listener {
    sink: Option<Box<dyn EventSink>>,
    /// Number of events in the log that were delivered.
    delivered: usize,
}

impl Listener {
    /// Replaces the listener. The new one receives only later events.
    pub(super) fn replace(&mut self, sink: Option<Box<dyn EventSink>>, log: &[Event]) {
        *self = Self { sink, delivered: log.len() };
    }

    /// Marks every event in the log as delivered, after the log was emptied or replaced.
    pub(super) fn mark_delivered(&mut self, log: &[Event]) {
        self.delivered = log.len();
    }

    /// Delivers new events. A listener that fails or takes too long is dropped; training continues.
    pub(super) fn notify(&mut self, log: &[Event]) {
        let new_events = log.get(self.delivered..).unwrap_or_default();
        self.delivered = log.len();
        let Some(sink) = &mut self.sink else { return };
        let begun = Instant::now();
        let result = new_events.iter().try_for_each(|event| sink.event(event));
        let why = match result {
            Ok(()) if begun.elapsed() <= MAX_DURATION => return,
            Ok(()) => format!("it took {:.1} s for one delivery", begun.elapsed().as_secs_f64()),
            Err(error) => error.to_string(),
        };
        tracing::warn!("dropped the event listener, training continues: {why}");
        self.sink = None;
    }
}
