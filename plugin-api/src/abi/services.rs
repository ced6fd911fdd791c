//! Services across the plugin interface: exported by the host process, imported as [`Services`] in the
//! plugin.

use super::objects::{ScriptBox, ServicesBox, ServicesObject, ServicesObject_TO};
use super::script;
use super::wire::{RawTensor, TensorRef, Wire, from_wire, to_wire};
use crate::Result;
use crate::services::{Script, Services};
use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{ROption, RSlice, RStr};
use tch::{Device, Tensor};
use tracing_core::Level;

fn level_to_wire(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

fn level_from_wire(level: u8) -> Level {
    match level {
        0 | 1 => Level::ERROR,
        2 => Level::WARN,
        3 => Level::INFO,
        4 => Level::DEBUG,
        _ => Level::TRACE,
    }
}

/// The side of the host process. A panic of a service must not unwind into the plugin.
struct ExportedServices(Box<dyn Services>);

impl ExportedServices {
    /// Calls a service; returns `otherwise` if it panics.
    fn call<T>(&self, otherwise: T, body: impl FnOnce(&dyn Services) -> T) -> T {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(self.0.as_ref()))).unwrap_or(otherwise)
    }
}

impl ServicesObject for ExportedServices {
    fn enabled(&self, level: u8, target: RStr<'_>) -> bool {
        self.call(false, |s| s.enabled(level_from_wire(level), target.as_str()))
    }
    fn event(&self, level: u8, target: RStr<'_>, message: RStr<'_>, fields: RStr<'_>) {
        self.call((), |s| {
            s.event(level_from_wire(level), target.as_str(), message.as_str(), fields.as_str())
        });
    }
    fn open_span(&self, level: u8, target: RStr<'_>, name: RStr<'_>, fields: RStr<'_>) -> u64 {
        self.call(1, |s| s.open_span(level_from_wire(level), target.as_str(), name.as_str(), fields.as_str()))
    }
    fn enter_span(&self, span: u64) {
        self.call((), |s| s.enter_span(span));
    }
    fn exit_span(&self, span: u64) {
        self.call((), |s| s.exit_span(span));
    }
    fn clone_span(&self, span: u64) {
        self.call((), |s| s.clone_span(span));
    }
    fn close_span(&self, span: u64) -> bool {
        self.call(true, |s| s.close_span(span))
    }
    fn metric(&self, name: RStr<'_>, value: f64) {
        self.call((), |s| s.metric(name.as_str(), value));
    }
    fn cancelled(&self) -> bool {
        self.call(false, |s| s.cancelled())
    }
    fn fused(
        &self,
        layer: RStr<'_>,
        tensors: RSlice<'_, TensorRef<'_>>,
        numbers: RSlice<'_, f64>,
    ) -> ROption<Wire<RawTensor>> {
        let views: Vec<_> = tensors.iter().map(TensorRef::view).collect();
        let tensors: Vec<&Tensor> = views.iter().map(|view| &**view).collect();
        let out = self.call(None, |s| s.fused(layer.as_str(), &tensors, numbers.as_slice()));
        out.map(|out| to_wire(out, RawTensor::new)).into()
    }
    fn script(&self, archive: RSlice<'_, u8>, device: i64) -> ROption<Wire<ScriptBox>> {
        let device = usize::try_from(device).map_or(Device::Cpu, Device::Cuda);
        let module = self.call(None, |s| s.script(archive.as_slice(), device));
        module.map(|module| to_wire(module, script::export)).into()
    }
}

pub(super) fn export(services: Box<dyn Services>) -> ServicesBox {
    ServicesObject_TO::from_value(ExportedServices(services), TD_Opaque)
}

/// The side of the plugin.
pub(super) struct ImportedServices(pub(super) ServicesBox);

impl Services for ImportedServices {
    fn enabled(&self, level: Level, target: &str) -> bool {
        self.0.enabled(level_to_wire(level), target.into())
    }
    fn event(&self, level: Level, target: &str, message: &str, fields: &str) {
        self.0.event(level_to_wire(level), target.into(), message.into(), fields.into());
    }
    fn open_span(&self, level: Level, target: &str, name: &str, fields: &str) -> u64 {
        self.0.open_span(level_to_wire(level), target.into(), name.into(), fields.into())
    }
    fn enter_span(&self, span: u64) {
        self.0.enter_span(span);
    }
    fn exit_span(&self, span: u64) {
        self.0.exit_span(span);
    }
    fn clone_span(&self, span: u64) {
        self.0.clone_span(span);
    }
    fn close_span(&self, span: u64) -> bool {
        self.0.close_span(span)
    }
    fn metric(&self, name: &str, value: f64) {
        self.0.metric(name.into(), value);
    }
    fn cancelled(&self) -> bool {
        self.0.cancelled()
    }
    fn fused(&self, layer: &str, tensors: &[&Tensor], numbers: &[f64]) -> Option<Result<Tensor>> {
        let tensors: Vec<TensorRef<'_>> = tensors.iter().map(|t| TensorRef::new(t)).collect();
        let out = self.0.fused(layer.into(), tensors.as_slice().into(), numbers.into());
        out.into_option().map(|out| from_wire(out).map(RawTensor::take))
    }
    fn script(&self, archive: &[u8], device: Device) -> Option<Result<Box<dyn Script>>> {
        let device = match device {
            Device::Cuda(index) => index as i64,
            _ => -1,
        };
        let module = self.0.script(archive.into(), device).into_option()?;
        Some(from_wire(module).map(|module| Box::new(script::ImportedScript(module)) as Box<dyn Script>))
    }
}
