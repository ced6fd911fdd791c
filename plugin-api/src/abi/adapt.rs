//! The plugin's side: implements the objects of the plugin interface for the traits of authors. Every call
//! and every drop is guarded.

use super::objects::{BlendObject, HostObject, SeedObject, TapSinkRef};
use super::wire::{RawTensor, TensorRef, Wire, WireCx, WireSlot, WireVariable, from_wire, mode, to_wire};
use crate::guard::guard;
use crate::{Blender, ErrorKind, HostModule, Mode, PluginError, Result, Seed, TapHandler, Taps};
use abi_stable::std_types::{ROption, RSlice, RVec};
use std::mem::ManuallyDrop;
use tch::{Device, Kind, Tensor, nn};

/// A module with the variables that it was built with.
pub(super) struct Instance<M> {
    module: ManuallyDrop<M>,
    variables: nn::VarStore,
    poisoned: Option<String>,
}

impl<M> Instance<M> {
    /// Builds a module with new variables on `device`.
    pub(super) fn build(
        device: Device,
        dtype: Kind,
        build: impl FnOnce(&nn::Path<'_>) -> Result<M>,
    ) -> Result<Self> {
        let mut variables = nn::VarStore::new(device);
        let module = build(&variables.root())?;
        refuse_renamed(&variables)?;
        if dtype == Kind::Double {
            variables.double();
        }
        Ok(Self { module: ManuallyDrop::new(module), variables, poisoned: None })
    }

    fn refuse_if_poisoned(&self) -> Result<()> {
        match &self.poisoned {
            None => Ok(()),
            Some(panic) => {
                let text = format!("the instance is poisoned by an earlier panic: {panic}");
                Err(PluginError::new(ErrorKind::Poisoned, text))
            }
        }
    }

    #[inline]
    fn call<T>(&mut self, body: impl FnOnce(&mut M) -> Result<T>) -> Result<T> {
        if self.poisoned.is_some() {
            self.refuse_if_poisoned()?;
        }
        let module = &mut *self.module;
        let guarded = guard(|| body(module));
        if guarded.poisons {
            self.poisoned = guarded.result.as_ref().err().map(|e| e.message.clone());
        }
        guarded.result
    }

    fn call_shared<T>(&self, body: impl FnOnce(&M) -> Result<T>) -> Result<T> {
        self.refuse_if_poisoned()?;
        guard(|| body(&self.module)).result
    }

    fn wire_variables(&self) -> Wire<RVec<WireVariable>> {
        let listed = guard(|| {
            let mut all: Vec<_> = self.variables.variables().into_iter().collect();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            Ok(all)
        });
        to_wire(listed.result, |all| all.into_iter().map(WireVariable::new).collect())
    }
}

impl<M> Drop for Instance<M> {
    fn drop(&mut self) {
        let module = &mut self.module;
        let guarded = guard(|| {
            // SAFETY: the module is dropped only here and not used afterwards.
            unsafe { ManuallyDrop::drop(module) };
            Ok(())
        });
        if let Err(error) = guarded.result {
            // The testkit recognizes this message by its beginning.
            tracing::error!(target: "kasmina::plugin", "a drop failed: {error}");
        }
    }
}

/// Refuses two variables of the same name. tch silently renames the second one to `name__7`, and a saved
/// state could not name it reliably.
fn refuse_renamed(variables: &nn::VarStore) -> Result<()> {
    let names = variables.variables();
    let renamed = names.keys().find(|name| {
        name.rsplit_once("__").is_some_and(|(base, number)| {
            !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) && names.contains_key(base)
        })
    });
    match renamed {
        None => Ok(()),
        Some(name) => {
            let base = name.rsplit_once("__").map_or(name.as_str(), |(base, _)| base);
            Err(PluginError::contract(format!(
                "two variables are named `{base}`; give each a path of its own"
            )))
        }
    }
}

impl SeedObject for Instance<Box<dyn Seed>> {
    fn variables(&self) -> Wire<RVec<WireVariable>> {
        self.wire_variables()
    }
    fn forward(&mut self, x: TensorRef<'_>, cx: WireCx<'_>) -> Wire<RawTensor> {
        to_wire(self.call(|seed| seed.forward(&x.view(), &cx.read())), RawTensor::new)
    }
    fn state(&self) -> Wire<RVec<u8>> {
        to_wire(self.call_shared(|seed| seed.state()), RVec::from)
    }
    fn restore(&mut self, bytes: RSlice<'_, u8>, from_version: u32) -> Wire<()> {
        to_wire(self.call(|seed| seed.restore(bytes.as_slice(), from_version)), |()| ())
    }
}

impl BlendObject for Instance<Box<dyn Blender>> {
    fn variables(&self) -> Wire<RVec<WireVariable>> {
        self.wire_variables()
    }
    fn curve(&self, t: f64) -> Wire<f64> {
        to_wire(self.call_shared(|blend| Ok(blend.curve(t))), |value| value)
    }
    fn gate(&mut self, features: TensorRef<'_>, cx: WireCx<'_>) -> Wire<ROption<RawTensor>> {
        to_wire(self.call(|blend| blend.gate(&features.view(), &cx.read())), |gate| {
            gate.map(RawTensor::new).into()
        })
    }
    fn mix(
        &mut self,
        host: TensorRef<'_>,
        seed: TensorRef<'_>,
        alpha: TensorRef<'_>,
        cx: WireCx<'_>,
    ) -> Wire<RawTensor> {
        let mixed = self.call(|blend| blend.mix(&host.view(), &seed.view(), &alpha.view(), &cx.read()));
        to_wire(mixed, RawTensor::new)
    }
    fn state(&self) -> Wire<RVec<u8>> {
        to_wire(self.call_shared(|blend| blend.state()), RVec::from)
    }
    fn restore(&mut self, bytes: RSlice<'_, u8>, from_version: u32) -> Wire<()> {
        to_wire(self.call(|blend| blend.restore(bytes.as_slice(), from_version)), |()| ())
    }
}

/// The slots of the host process, as the author's host calls them.
struct ImportedTaps<'a>(TapSinkRef<'a>);

impl TapHandler for ImportedTaps<'_> {
    fn at(&mut self, slot: usize, x: Tensor) -> Result<Tensor> {
        from_wire(self.0.at(slot, RawTensor::new(x))).map(RawTensor::take)
    }
}

impl HostObject for Instance<Box<dyn HostModule>> {
    fn slots(&self) -> Wire<RVec<WireSlot>> {
        to_wire(self.call_shared(|host| Ok(host.slots())), |slots| {
            slots.into_iter().map(WireSlot::from).collect()
        })
    }
    fn variables(&self) -> Wire<RVec<WireVariable>> {
        self.wire_variables()
    }
    fn forward(&mut self, x: TensorRef<'_>, train: bool, taps: TapSinkRef<'_>) -> Wire<RawTensor> {
        let mut imported = ImportedTaps(taps);
        let output = self.call(|host| host.forward(&x.view(), &mut Taps::new(&mut imported, mode(train))));
        to_wire(output, RawTensor::new)
    }
    fn state(&self) -> Wire<RVec<u8>> {
        to_wire(self.call_shared(|host| host.state()), RVec::from)
    }
    fn restore(&mut self, bytes: RSlice<'_, u8>, from_version: u32) -> Wire<()> {
        to_wire(self.call(|host| host.restore(bytes.as_slice(), from_version)), |()| ())
    }
    fn forward_cached(
        &mut self,
        x: TensorRef<'_>,
        past: i64,
        taps: TapSinkRef<'_>,
    ) -> Wire<ROption<RawTensor>> {
        let mut imported = ImportedTaps(taps);
        let taps = &mut Taps::new(&mut imported, Mode::Eval);
        let output = self.call(|host| host.forward_cached(&x.view(), past, taps));
        to_wire(output, |output| output.map(RawTensor::new).into())
    }
}
