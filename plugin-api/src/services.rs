//! Services of the host process for plugins: logs, spans, metrics, fused layers, TorchScript modules, and the
//! request to stop.
//!
//! Every cdylib has its own copy of `tracing` and of the standard library, so that a plugin's events would be
//! lost and its panics would go to stderr. When a plugin is loaded, before anything else is constructed, the
//! host passes its services to the plugin, which uses them as its subscriber and in its panic hook.

use crate::Result;
use std::fmt::Write as _;
use std::sync::OnceLock;
use tch::{Device, Tensor};
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Event, Level, Metadata, Subscriber};

/// Services of the host process, as a plugin calls them.
pub trait Services: Send + Sync {
    /// Whether events of this level and target are recorded.
    fn enabled(&self, level: Level, target: &str) -> bool;
    /// Records an event; `fields` contains `name=value` pairs.
    fn event(&self, level: Level, target: &str, message: &str, fields: &str);
    /// Opens a span and returns its number, which is never 0.
    fn open_span(&self, level: Level, target: &str, name: &str, fields: &str) -> u64;
    /// Enters a span on this thread.
    fn enter_span(&self, span: u64);
    /// Leaves a span on this thread.
    fn exit_span(&self, span: u64);
    /// Adds a handle to a span.
    fn clone_span(&self, span: u64);
    /// Removes a handle of a span. Returns whether it was the last one, which closes the span.
    fn close_span(&self, span: u64) -> bool;
    /// Records a value under a name, replacing an earlier one.
    fn metric(&self, name: &str, value: f64);
    /// Whether the run is requested to stop.
    fn cancelled(&self) -> bool;
    /// Runs a layer of [`ops`](crate::ops) as one fused kernel; `None` if the process has no kernel for this
    /// layer and these tensors, so that the caller must compose the layer.
    ///
    /// # Shapes
    /// Those of the function of [`ops`](crate::ops) that is named `layer`.
    ///
    /// # Errors
    /// If the kernel fails.
    fn fused(&self, layer: &str, tensors: &[&Tensor], numbers: &[f64]) -> Option<Result<Tensor>>;
    /// Loads a TorchScript module from bytes to a device; `None` if the process does not support it. Since
    /// 1.1.
    ///
    /// # Errors
    /// If libtorch refuses the module.
    fn script(&self, _archive: &[u8], _device: Device) -> Option<Result<Box<dyn Script>>> {
        None
    }
}

/// A TorchScript module in the host process. Since 1.1.
pub trait Script: Send {
    /// Returns the module's parameters and buffers with their dotted names. The tensors are shared handles,
    /// not copies; parameters require a gradient.
    ///
    /// # Shapes
    /// Those of the module's parameters and buffers.
    ///
    /// # Errors
    /// If libtorch fails.
    fn variables(&self) -> Result<Vec<(String, Tensor)>>;
    /// Runs the module, in training or evaluation mode.
    ///
    /// # Shapes
    /// Those that the module defines for its input and output.
    ///
    /// # Errors
    /// If the module or libtorch refuses the input.
    fn forward(&mut self, x: &Tensor, train: bool) -> Result<Tensor>;
}

static SERVICES: OnceLock<Box<dyn Services>> = OnceLock::new();

/// Whether the run is requested to stop; `false` if this library has no services.
pub fn cancelled() -> bool {
    SERVICES.get().is_some_and(|s| s.cancelled())
}

/// Records a value for the run's metrics under `name`; does nothing if this library has no services.
pub fn metric(name: &str, value: f64) {
    if let Some(services) = SERVICES.get() {
        services.metric(name, value);
    }
}

/// Calls [`Services::fused`]; `None` if this library has no services.
pub(crate) fn fused(layer: &str, tensors: &[&Tensor], numbers: &[f64]) -> Option<Result<Tensor>> {
    SERVICES.get()?.fused(layer, tensors, numbers)
}

/// Loads a TorchScript module from bytes to a device; `None` if no host process supports it, as in a plugin's
/// own tests and in hosts older than 1.1.
///
/// # Errors
/// If libtorch refuses the module.
pub fn script(archive: &[u8], device: Device) -> Option<Result<Box<dyn Script>>> {
    SERVICES.get()?.script(archive, device)
}

/// Installs the host's services in this library. Only the first call has an effect.
pub(crate) fn install(services: Box<dyn Services>) {
    if SERVICES.set(services).is_err() {
        return;
    }
    // Fails only if the plugin has set a subscriber of its own, which then stays.
    let _ = tracing::subscriber::set_global_default(ForwardingSubscriber);
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("a panic without a message");
        // A failed torch call is a panic too, but it is returned as an error, so it is logged at debug level.
        let level = if text.contains("on an `Err` value: Torch(") { Level::DEBUG } else { Level::ERROR };
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        if let Some(services) = SERVICES.get() {
            services.event(level, "kasmina::plugin::panic", text, &format!("location={place}"));
        }
    }));
}

/// The plugin's subscriber, which forwards everything to the host's services.
struct ForwardingSubscriber;

impl ForwardingSubscriber {
    fn services() -> Option<&'static dyn Services> {
        SERVICES.get().map(AsRef::as_ref)
    }
}

impl Subscriber for ForwardingSubscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        Self::services().is_some_and(|s| s.enabled(*metadata.level(), metadata.target()))
    }
    fn register_callsite(&self, _: &'static Metadata<'static>) -> tracing_core::Interest {
        // The host's filter may change, so it is checked for every event.
        tracing_core::Interest::sometimes()
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut text = FieldText::default();
        span.record(&mut text);
        let metadata = span.metadata();
        let id = Self::services()
            .map_or(1, |s| s.open_span(*metadata.level(), metadata.target(), metadata.name(), &text.fields));
        Id::from_u64(id.max(1))
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut text = FieldText::default();
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

/// Fields of an event or span as text: the message, and all others as `name=value`.
#[derive(Default)]
struct FieldText {
    message: String,
    fields: String,
}

impl Visit for FieldText {
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
