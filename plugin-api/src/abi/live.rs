//! The host's side of living instances: tch types in, tch types out.

use super::objects::{BlendBox, HostBox, SeedBox, TapSink, TapSink_TO};
use super::wire::{RawTensor, TensorRef, Wire, WireCx, WireVariable, from_wire, to_wire};
use crate::guard::guard;
use crate::{Cx, Mode, Result, SlotSpec, TapHandler};
use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::sabi_types::RMut;
use abi_stable::std_types::RVec;
use tch::Tensor;

/// A variable of an instance: the tensor itself, by handle.
#[derive(Debug)]
pub struct Variable {
    /// Its name within the instance, `.` between levels.
    pub name: String,
    /// Whether it is a parameter; otherwise it is a buffer (running statistics).
    pub trainable: bool,
    /// The tensor itself; a shared handle, not a copy.
    pub tensor: Tensor,
}

fn read_variables(variables: Wire<RVec<WireVariable>>) -> Result<Vec<Variable>> {
    let mut all: Vec<Variable> = from_wire(variables)?
        .into_iter()
        .map(|v| Variable { name: v.name.into_string(), trainable: v.trainable, tensor: v.tensor.take() })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// A built seed module of a plugin.
pub struct SeedInstance(SeedBox);

impl SeedInstance {
    pub(super) fn new(object: SeedBox) -> Self {
        Self(object)
    }
    /// Its variables, sorted by name.
    ///
    /// # Errors
    /// If the plugin fails.
    pub fn variables(&self) -> Result<Vec<Variable>> {
        read_variables(self.0.variables())
    }
    /// See [`Seed::forward`](crate::Seed::forward).
    ///
    /// # Shapes
    /// As the author promises: like `x`. The caller checks.
    ///
    /// # Errors
    /// The seed's own, or its panic.
    pub fn forward(&mut self, x: &Tensor, cx: &Cx<'_>) -> Result<Tensor> {
        from_wire(self.0.forward(TensorRef::new(x), WireCx::new(cx))).map(RawTensor::take)
    }
    /// See [`Seed::state`](crate::Seed::state).
    ///
    /// # Errors
    /// The seed's own, or its panic.
    pub fn state(&self) -> Result<Vec<u8>> {
        from_wire(self.0.state()).map(Into::into)
    }
    /// See [`Seed::restore`](crate::Seed::restore).
    ///
    /// # Errors
    /// The seed's own, or its panic.
    pub fn restore(&mut self, bytes: &[u8], from_version: u32) -> Result<()> {
        from_wire(self.0.restore(bytes.into(), from_version))
    }
}

/// A built blend of a plugin.
pub struct BlendInstance(BlendBox);

impl BlendInstance {
    pub(super) fn new(object: BlendBox) -> Self {
        Self(object)
    }
    /// Its variables, sorted by name.
    ///
    /// # Errors
    /// If the plugin fails.
    pub fn variables(&self) -> Result<Vec<Variable>> {
        read_variables(self.0.variables())
    }
    /// See [`Blender::curve`](crate::Blender::curve).
    ///
    /// # Errors
    /// The blender's panic.
    pub fn curve(&self, t: f64) -> Result<f64> {
        from_wire(self.0.curve(t))
    }
    /// See [`Blender::gate`](crate::Blender::gate).
    ///
    /// # Shapes
    /// `[N, 1, ..]` of the features' rank.
    ///
    /// # Errors
    /// The blender's own, or its panic.
    pub fn gate(&mut self, features: &Tensor, cx: &Cx<'_>) -> Result<Option<Tensor>> {
        let gate = from_wire(self.0.gate(TensorRef::new(features), WireCx::new(cx)))?;
        Ok(gate.into_option().map(RawTensor::take))
    }
    /// See [`Blender::mix`](crate::Blender::mix).
    ///
    /// # Shapes
    /// Like `host`; the caller checks.
    ///
    /// # Errors
    /// The blender's own, or its panic.
    pub fn mix(&mut self, host: &Tensor, seed: &Tensor, alpha: &Tensor, cx: &Cx<'_>) -> Result<Tensor> {
        let (host, seed, alpha) = (TensorRef::new(host), TensorRef::new(seed), TensorRef::new(alpha));
        from_wire(self.0.mix(host, seed, alpha, WireCx::new(cx))).map(RawTensor::take)
    }
    /// See [`Blender::state`](crate::Blender::state).
    ///
    /// # Errors
    /// The blender's own, or its panic.
    pub fn state(&self) -> Result<Vec<u8>> {
        from_wire(self.0.state()).map(Into::into)
    }
    /// See [`Blender::restore`](crate::Blender::restore).
    ///
    /// # Errors
    /// The blender's own, or its panic.
    pub fn restore(&mut self, bytes: &[u8], from_version: u32) -> Result<()> {
        from_wire(self.0.restore(bytes.into(), from_version))
    }
}

/// A built host network of a plugin.
pub struct HostInstance {
    object: HostBox,
    slots: Vec<SlotSpec>,
}

impl HostInstance {
    pub(super) fn new(object: HostBox) -> Result<Self> {
        let slots = from_wire(object.slots())?.into_iter().map(SlotSpec::from).collect();
        Ok(Self { object, slots })
    }
    /// Where seeds may be grafted, in the order of forward.
    pub fn slots(&self) -> &[SlotSpec] {
        &self.slots
    }
    /// Its variables, sorted by name.
    ///
    /// # Errors
    /// If the plugin fails.
    pub fn variables(&self) -> Result<Vec<Variable>> {
        read_variables(self.object.variables())
    }
    /// See [`HostModule::forward`](crate::HostModule::forward). A panic in `taps` stays on this side.
    ///
    /// # Shapes
    /// The task's.
    ///
    /// # Errors
    /// The host's own, its panic, or what the taps said.
    pub fn forward(&mut self, x: &Tensor, mode: Mode, taps: &mut dyn TapHandler) -> Result<Tensor> {
        struct Lent<'a>(&'a mut dyn TapHandler);
        impl TapSink for Lent<'_> {
            fn at(&mut self, slot: usize, x: RawTensor) -> Wire<RawTensor> {
                to_wire(guard(|| self.0.at(slot, x.take())).result, RawTensor::new)
            }
        }
        let mut lent = Lent(taps);
        let sink = TapSink_TO::from_ptr(RMut::new(&mut lent), TD_Opaque);
        from_wire(self.object.forward(TensorRef::new(x), mode.is_train(), sink)).map(RawTensor::take)
    }
    /// See [`HostModule::state`](crate::HostModule::state). Empty for a plugin that was built for 1.0.
    ///
    /// # Errors
    /// The host's own, or its panic.
    pub fn state(&self) -> Result<Vec<u8>> {
        from_wire(self.object.state()).map(Into::into)
    }
    /// See [`HostModule::restore`](crate::HostModule::restore).
    ///
    /// # Errors
    /// The host's own, or its panic.
    pub fn restore(&mut self, bytes: &[u8], from_version: u32) -> Result<()> {
        from_wire(self.object.restore(bytes.into(), from_version))
    }
}

macro_rules! opaque_debug {
    ($($name:ident),*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}
opaque_debug!(SeedInstance, BlendInstance, HostInstance);
