//! What a plugin says through its host's log while a check runs. A drop cannot answer with an error: the
//! guard around it writes one to the log, and that is the only place where it can be heard.

use std::cell::RefCell;
use std::fmt::Write as _;
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Event, Level, Metadata, Subscriber};

thread_local! {
    static ERRORS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Runs a check with the log of this thread listened to.
pub(crate) fn listen<T>(body: impl FnOnce() -> T) -> T {
    drop(errors());
    tracing::subscriber::with_default(Listener, body)
}

/// The errors that were logged on this thread since the last time.
pub(crate) fn errors() -> Vec<String> {
    ERRORS.take()
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        ERRORS.with_borrow_mut(|errors| errors.push(message.0));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, "{value:?}");
        }
    }
}
