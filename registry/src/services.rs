//! Services that this process offers its plugins: logging, spans, metrics, fused layers, TorchScript modules,
//! and the request to stop.

use crate::held_script::HeldScript;
use crate::manifest::Manifest;
use kasmina_plugin_api::services::{Script, Services};
use kasmina_plugin_api::{ErrorKind, PluginError, Result};
use kasmina_torch_ext::cuda::fused;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tch::{Device, Tensor};
use tracing::{Level, Span};

static CANCELLED: AtomicBool = AtomicBool::new(false);
static METRICS: Mutex<BTreeMap<String, f64>> = Mutex::new(BTreeMap::new());

/// Requests that plugins end their current call, or withdraws that request. Plugins with long calls check it.
pub fn set_cancelled(cancelled: bool) {
    CANCELLED.store(cancelled, Ordering::Relaxed);
}

/// Removes and returns the newest value of each metric that plugins have recorded, by `plugin/name`.
pub fn take_metrics() -> BTreeMap<String, f64> {
    std::mem::take(&mut *lock(&METRICS))
}

/// Returns the newest value of each metric that plugins have recorded since the last [`take_metrics`], by
/// `plugin/name`.
pub fn metrics() -> BTreeMap<String, f64> {
    lock(&METRICS).clone()
}

/// Replaces all recorded metrics, for a resumed run.
pub fn put_metrics(metrics: BTreeMap<String, f64>) {
    *lock(&METRICS) = metrics;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The services of one plugin. Its log events and spans carry its name, version and generation.
pub(crate) struct Forwarder {
    plugin: String,
    version: String,
    generation: String,
    /// Open spans and the number of handles of each, by the id that the plugin has.
    spans: Mutex<HashMap<u64, (Span, usize)>>,
    next_span: AtomicU64,
}

impl Forwarder {
    pub(crate) fn new(manifest: &Manifest) -> Self {
        Self {
            plugin: manifest.plugin.name.clone(),
            version: manifest.plugin.version.clone(),
            generation: manifest.generation().to_owned(),
            spans: Mutex::new(HashMap::new()),
            next_span: AtomicU64::new(1),
        }
    }

    fn with_span(&self, span: u64, body: impl FnOnce(&Span)) {
        let span = lock(&self.spans).get(&span).map(|(span, _)| span.clone());
        if let Some(span) = span {
            body(&span);
        }
    }
}

/// Expands to one callsite per level, because tracing requires a constant level.
macro_rules! at_level {
    ($level:expr, $macro:ident, $($rest:tt)*) => {
        match $level {
            Level::ERROR => tracing::$macro!(target: "kasmina::plugin", Level::ERROR, $($rest)*),
            Level::WARN => tracing::$macro!(target: "kasmina::plugin", Level::WARN, $($rest)*),
            Level::INFO => tracing::$macro!(target: "kasmina::plugin", Level::INFO, $($rest)*),
            Level::DEBUG => tracing::$macro!(target: "kasmina::plugin", Level::DEBUG, $($rest)*),
            Level::TRACE => tracing::$macro!(target: "kasmina::plugin", Level::TRACE, $($rest)*),
        }
    };
}

impl Services for Forwarder {
    fn enabled(&self, level: Level, _target: &str) -> bool {
        match level {
            Level::ERROR => tracing::enabled!(target: "kasmina::plugin", Level::ERROR),
            Level::WARN => tracing::enabled!(target: "kasmina::plugin", Level::WARN),
            Level::INFO => tracing::enabled!(target: "kasmina::plugin", Level::INFO),
            Level::DEBUG => tracing::enabled!(target: "kasmina::plugin", Level::DEBUG),
            Level::TRACE => tracing::enabled!(target: "kasmina::plugin", Level::TRACE),
        }
    }
    fn event(&self, level: Level, target: &str, message: &str, fields: &str) {
        let (plugin, version, generation) = (&*self.plugin, &*self.version, &*self.generation);
        at_level!(level, event, plugin, version, generation, target, fields, "{message}");
    }
    fn open_span(&self, level: Level, target: &str, name: &str, fields: &str) -> u64 {
        let (plugin, version, generation) = (&*self.plugin, &*self.version, &*self.generation);
        let span = at_level!(level, span, "plugin", plugin, version, generation, target, name, fields);
        let id = self.next_span.fetch_add(1, Ordering::Relaxed);
        lock(&self.spans).insert(id, (span, 1));
        id
    }
    fn enter_span(&self, span: u64) {
        self.with_span(span, |span| {
            span.with_subscriber(|(id, subscriber)| subscriber.enter(id));
        });
    }
    fn exit_span(&self, span: u64) {
        self.with_span(span, |span| {
            span.with_subscriber(|(id, subscriber)| subscriber.exit(id));
        });
    }
    fn clone_span(&self, span: u64) {
        if let Some((_, handles)) = lock(&self.spans).get_mut(&span) {
            *handles += 1;
        }
    }
    fn close_span(&self, span: u64) -> bool {
        let mut spans = lock(&self.spans);
        let Some((_, handles)) = spans.get_mut(&span) else { return true };
        *handles -= 1;
        if *handles > 0 {
            return false;
        }
        spans.remove(&span);
        true
    }
    fn metric(&self, name: &str, value: f64) {
        lock(&METRICS).insert(format!("{}/{name}", self.plugin), value);
    }
    fn cancelled(&self) -> bool {
        CANCELLED.load(Ordering::Relaxed)
    }
    fn fused(&self, layer: &str, tensors: &[&Tensor], numbers: &[f64]) -> Option<Result<Tensor>> {
        let out = match (layer, tensors, numbers) {
            ("batch_norm_relu", &[x, weight, bias, running_mean, running_var], &[eps, momentum, pool]) => {
                let norm = fused::BatchNorm { weight, bias, running_mean, running_var, eps, momentum };
                fused::batch_norm_relu(x, &norm, pool != 0.0)
            }
            ("norm_residual", &[x, branch, weight, bias, gain], &[groups, eps]) => {
                let norm = fused::GroupNorm { groups: groups as i64, weight, bias, eps };
                fused::norm_residual(x, branch, &norm, gain)
            }
            ("mean_linear", &[x, weight, bias], &[]) => fused::mean_linear(x, weight, bias),
            ("lerp", &[host, seed, alpha], &[]) => fused::lerp(host, seed, alpha),
            _ => None,
        }?;
        Some(out.map_err(|e| PluginError::new(ErrorKind::Torch, e.to_string())))
    }
    fn script(&self, archive: &[u8], device: Device) -> Option<Result<Box<dyn Script>>> {
        Some(HeldScript::load(archive, device).map(|held| Box::new(held) as Box<dyn Script>))
    }
}
