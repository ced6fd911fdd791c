//! What the host process lends a plugin: its log, its spans, its metrics, its fast layers, and its request to
//! stop.
//!
//! Every cdylib has its own copy of `tracing` and of the standard library, so a plugin's events would go
//! nowhere and its panics to the wrong place. On load, before anything else is constructed, the host passes
//! its services in; they become the plugin's subscriber and its panic hook.

use crate::Result;
use std::fmt::Write as _;
use std::sync::OnceLock;
use tch::{Device, Tensor};
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Event, Level, Metadata, Subscriber};

/// The services as a plugin sees them.
pub trait Services: Send + Sync {
    /// Whether an event of this level and target would be seen.
    fn enabled(&self, level: Level, target: &str) -> bool;
    /// An event; `fields` is `name=value` pairs.
    fn event(&self, level: Level, target: &str, message: &str, fields: &str);
    /// Opens a span and answers with its number, never 0.
    fn open_span(&self, level: Level, target: &str, name: &str, fields: &str) -> u64;
    /// Enters a span on this thread.
    fn enter_span(&self, span: u64);
    /// Leaves a span on this thread.
    fn exit_span(&self, span: u64);
    /// One more handle on a span.
    fn clone_span(&self, span: u64);
    /// One handle less; the last closes the span and answers true.
    fn close_span(&self, span: u64) -> bool;
    /// Records a value under a name; the newest counts.
    fn metric(&self, name: &str, value: f64);
    /// Whether the run was asked to stop.
    fn cancelled(&self) -> bool;
    /// Runs a layer of [`ops`](crate::ops) in one pass, where the process can for these tensors; `None` where
    /// the layer must be composed, a name that it does not know included.
    fn fused(&self, layer: &str, tensors: &[&Tensor], numbers: &[f64]) -> Option<Result<Tensor>>;
    /// Reads the bytes of a TorchScript module onto a device; `None` where the process cannot. Since 1.1.
    fn script(&self, _archive: &[u8], _device: Device) -> Option<Result<Box<dyn Script>>> {
        None
    }
}

/// A TorchScript module that the host process holds, with every tensor of it by name, buffers included. Since
/// 1.1.
pub trait Script: Send {
    /// The module's tensors by dotted name: handles on those that it computes with. Those that learn require
    /// a gradient.
    ///
    /// # Errors
    /// If libtorch fails.
    fn variables(&self) -> Result<Vec<(String, Tensor)>>;
    /// The module's output, training or measuring.
    ///
    /// # Shapes
    /// The module's.
    ///
    /// # Errors
    /// What the module or libtorch refused.
    fn forward(&mut self, x: &Tensor, train: bool) -> Result<Tensor>;
}

static SERVICES: OnceLock<Box<dyn Services>> = OnceLock::new();

/// Whether the run was asked to stop; `false` where no host has passed its services in.
pub fn cancelled() -> bool {
    SERVICES.get().is_some_and(|s| s.cancelled())
}

/// Records a value for the run's metrics under `name`.
pub fn metric(name: &str, value: f64) {
    if let Some(services) = SERVICES.get() {
        services.metric(name, value);
    }
}

/// A layer in one pass, if there is a host process that has it.
pub(crate) fn fused(layer: &str, tensors: &[&Tensor], numbers: &[f64]) -> Option<Result<Tensor>> {
    SERVICES.get()?.fused(layer, tensors, numbers)
}

/// Reads the bytes of a TorchScript module onto a device, with all its tensors by name; `None` where no host
/// process does so: in an author's own tests, and in hosts older than 1.1.
pub fn script(archive: &[u8], device: Device) -> Option<Result<Box<dyn Script>>> {
    SERVICES.get()?.script(archive, device)
}

/// Installs the host's services in this library. Only the first call counts.
pub(crate) fn install(services: Box<dyn Services>) {
    if SERVICES.set(services).is_err() {
        return;
    }
    // Fails only if the plugin has set a subscriber of its own: then that one is what its author wants.
    let _ = tracing::subscriber::set_global_default(Forward);
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("a panic without a text");
        // A failed torch call arrives as a panic and is told as an error; it is no news for the log.
        let level = if text.contains("on an `Err` value: Torch(") { Level::DEBUG } else { Level::ERROR };
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        if let Some(services) = SERVICES.get() {
            services.event(level, "kasmina::plugin::panic", text, &format!("location={place}"));
        }
    }));
}

/// The plugin's subscriber: hands everything on.
struct Forward;

impl Forward {
    fn services() -> Option<&'static dyn Services> {
        SERVICES.get().map(AsRef::as_ref)
    }
}

impl Subscriber for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        Self::services().is_some_and(|s| s.enabled(*metadata.level(), metadata.target()))
    }
    fn register_callsite(&self, _: &'static Metadata<'static>) -> tracing_core::Interest {
        // The host's filter may change; ask each time.
        tracing_core::Interest::sometimes()
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut text = Text::default();
        span.record(&mut text);
        let metadata = span.metadata();
        let id = Self::services()
            .map_or(1, |s| s.open_span(*metadata.level(), metadata.target(), metadata.name(), &text.fields));
        Id::from_u64(id.max(1))
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        if let Some(services) = Self::services() {
            services.event(*metadata.level(), metadata.target(), &text.message, &text.fields);
        }
    }
    fn enter(&self, id: &Id) {
        if let Some(services) = Self::services() {
            services.enter_span(id.into_u64());
        }
    }
    fn exit(&self, id: &Id) {
        if let Some(services) = Self::services() {
            services.exit_span(id.into_u64());
        }
    }
    fn try_close(&self, id: Id) -> bool {
        Self::services().is_none_or(|s| s.close_span(id.into_u64()))
    }
    fn clone_span(&self, id: &Id) -> Id {
        if let Some(services) = Self::services() {
            services.clone_span(id.into_u64());
        }
        id.clone()
    }
}

/// Fields as text: the message apart, the rest as `name=value`.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            let space = if self.fields.is_empty() { "" } else { " " };
            let _ = write!(self.fields, "{space}{}={value:?}", field.name());
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.record_debug(field, &value);
        }
    }
}
