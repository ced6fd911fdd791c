//! Traits of the objects that exist on one side of the plugin interface and are called from the other.
//!
//! Minor versions may only add methods at the end, with default bodies. `last_prefix_field` must not move.

use super::wire::{RawTensor, TensorRef, Wire, WireCx, WireSlot, WireVariable};
use abi_stable::sabi_trait;
use abi_stable::sabi_types::RMut;
use abi_stable::std_types::{RBox, ROption, RSlice, RStr, RVec};

/// The slots of a model, which a host calls during one forward.
#[sabi_trait]
pub trait TapSink {
    #[sabi(last_prefix_field)]
    fn at(&mut self, slot: usize, x: RawTensor) -> Wire<RawTensor>;
}
pub type TapSinkRef<'a> = TapSink_TO<'a, RMut<'a, ()>>;

/// A seed in a plugin.
#[sabi_trait]
pub trait SeedObject: Send {
    fn variables(&self) -> Wire<RVec<WireVariable>>;
    fn forward(&mut self, x: TensorRef<'_>, cx: WireCx<'_>) -> Wire<RawTensor>;
    fn state(&self) -> Wire<RVec<u8>>;
    #[sabi(last_prefix_field)]
    fn restore(&mut self, bytes: RSlice<'_, u8>, from_version: u32) -> Wire<()>;
}
pub type SeedBox = SeedObject_TO<'static, RBox<()>>;

/// A blender in a plugin.
#[sabi_trait]
pub trait BlendObject: Send {
    fn variables(&self) -> Wire<RVec<WireVariable>>;
    fn curve(&self, t: f64) -> Wire<f64>;
    fn gate(&mut self, features: TensorRef<'_>, cx: WireCx<'_>) -> Wire<ROption<RawTensor>>;
    fn mix(
        &mut self,
        host: TensorRef<'_>,
        seed: TensorRef<'_>,
        alpha: TensorRef<'_>,
        cx: WireCx<'_>,
    ) -> Wire<RawTensor>;
    fn state(&self) -> Wire<RVec<u8>>;
    #[sabi(last_prefix_field)]
    fn restore(&mut self, bytes: RSlice<'_, u8>, from_version: u32) -> Wire<()>;
}
pub type BlendBox = BlendObject_TO<'static, RBox<()>>;

/// A host network in a plugin.
#[sabi_trait]
pub trait HostObject: Send {
    fn slots(&self) -> Wire<RVec<WireSlot>>;
    fn variables(&self) -> Wire<RVec<WireVariable>>;
    #[sabi(last_prefix_field)]
    fn forward(&mut self, x: TensorRef<'_>, train: bool, taps: TapSinkRef<'_>) -> Wire<RawTensor>;
    // Since 1.1. Hosts of plugins that were built for 1.0 have no state but their variables, and no cache.
    fn state(&self) -> Wire<RVec<u8>> {
        Wire::ROk(RVec::new())
    }
    fn restore(&mut self, _bytes: RSlice<'_, u8>, _from_version: u32) -> Wire<()> {
        Wire::ROk(())
    }
    fn forward_cached(
        &mut self,
        _x: TensorRef<'_>,
        _past: i64,
        _taps: TapSinkRef<'_>,
    ) -> Wire<ROption<RawTensor>> {
        Wire::ROk(ROption::RNone)
    }
}
pub type HostBox = HostObject_TO<'static, RBox<()>>;

/// A TorchScript module in the host process. Since 1.1.
#[sabi_trait]
pub trait ScriptObject: Send {
    fn variables(&self) -> Wire<RVec<WireVariable>>;
    #[sabi(last_prefix_field)]
    fn forward(&mut self, x: TensorRef<'_>, train: bool) -> Wire<RawTensor>;
}
pub type ScriptBox = ScriptObject_TO<'static, RBox<()>>;

/// Services of the host process. Levels are 1 (error) to 5 (trace).
#[sabi_trait]
pub trait ServicesObject: Send + Sync {
    fn enabled(&self, level: u8, target: RStr<'_>) -> bool;
    fn event(&self, level: u8, target: RStr<'_>, message: RStr<'_>, fields: RStr<'_>);
    fn open_span(&self, level: u8, target: RStr<'_>, name: RStr<'_>, fields: RStr<'_>) -> u64;
    fn enter_span(&self, span: u64);
    fn exit_span(&self, span: u64);
    fn clone_span(&self, span: u64);
    fn close_span(&self, span: u64) -> bool;
    fn metric(&self, name: RStr<'_>, value: f64);
    fn cancelled(&self) -> bool;
    #[sabi(last_prefix_field)]
    fn fused(
        &self,
        layer: RStr<'_>,
        tensors: RSlice<'_, TensorRef<'_>>,
        numbers: RSlice<'_, f64>,
    ) -> ROption<Wire<RawTensor>>;
    // Since 1.1. `device` is -1 for the CPU, otherwise the number of the CUDA device.
    fn script(&self, _archive: RSlice<'_, u8>, _device: i64) -> ROption<Wire<ScriptBox>> {
        ROption::RNone
    }
}
pub type ServicesBox = ServicesObject_TO<'static, RBox<()>>;
