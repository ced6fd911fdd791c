//! A listener to the events of a model.

use crate::lifecycle::Event;
use std::error::Error;
use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long a listener may take over the events of one edge. Training waits for it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Hears of the events of a model when a command was executed and at the edge of an epoch, never in a
/// training step. The events stay in the model until
/// [`drain_events`](crate::MorphogeneticModel::drain_events) takes them.
pub trait EventSink: Send + Debug {
    /// Takes one event.
    ///
    /// # Errors
    /// Why it cannot; it then hears of no further event.
    fn event(&mut self, event: &Event) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// The listener of a model, for as long as it keeps up.
#[derive(Debug, Default)]
pub(super) struct Listener {
    sink: Option<Box<dyn EventSink>>,
    /// How many of the events in the log it has heard of.
    heard: usize,
}

impl Listener {
    /// Replaces the listener. The new one receives only later events.
    pub(super) fn replace(&mut self, sink: Option<Box<dyn EventSink>>, log: &[Event]) {
        *self = Self { sink, heard: log.len() };
    }

    /// Marks every event in the log as delivered, after the log was emptied or replaced.
    pub(super) fn skip(&mut self, log: &[Event]) {
        self.heard = log.len();
    }

    /// Delivers the events that are new. A listener that fails, or takes too long, is dropped; training goes
    /// on.
    pub(super) fn tell(&mut self, log: &[Event]) {
        let news = log.get(self.heard..).unwrap_or_default();
        self.heard = log.len();
        let Some(sink) = &mut self.sink else { return };
        let begun = Instant::now();
        let told = news.iter().try_for_each(|event| sink.event(event));
        let why = match told {
            Ok(()) if begun.elapsed() <= PATIENCE => return,
            Ok(()) => format!("it took {:.1} s over the events of one edge", begun.elapsed().as_secs_f64()),
            Err(error) => error.to_string(),
        };
        tracing::warn!("the listener to events is dropped, training goes on: {why}");
        self.sink = None;
    }
}
