//! Instances of seeds, blends and hosts on the side of the host process, with the types of tch.

use super::objects::{BlendBox, HostBox, SeedBox, TapSink, TapSink_TO};
use super::wire::{RawTensor, TensorRef, Wire, WireCx, WireVariable, from_wire, to_wire};
use crate::guard::guard;
use crate::{Cx, Mode, Result, SlotSpec, TapHandler};
use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::sabi_types::RMut;
use abi_stable::std_types::RVec;
use tch::Tensor;

/// A variable of an instance.
#[derive(Debug)]
pub struct Variable {
    /// Name within the instance; levels are separated by `.`.
    pub name: String,
    /// Whether the variable is a parameter; otherwise it is a buffer, such as running statistics.
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

/// A seed that a plugin built.
pub struct SeedInstance(SeedBox);

impl SeedInstance {
    pub(super) fn new(object: SeedBox) -> Self {
        Self(object)
    }
    /// Returns the seed's variables, sorted by name.
    ///
    /// # Errors
    /// If the plugin fails.
    pub fn variables(&self) -> Result<Vec<Variable>> {
        read_variables(self.0.variables())
    }
    /// Calls [`Seed::forward`](crate::Seed::forward).
    ///
    /// # Shapes
    /// The output should have the shape of `x`. The caller must check it.
    ///
    /// # Errors
    /// If the seed returns an error or panics.
    pub fn forward(&mut self, x: &Tensor, cx: &Cx<'_>) -> Result<Tensor> {
        from_wire(self.0.forward(TensorRef::new(x), WireCx::new(cx))).map(RawTensor::take)
    }
    /// Calls [`Seed::state`](crate::Seed::state).
    ///
    /// # Errors
    /// If the seed returns an error or panics.
    pub fn state(&self) -> Result<Vec<u8>> {
        from_wire(self.0.state()).map(Into::into)
    }
    /// Calls [`Seed::restore`](crate::Seed::restore).
    ///
    /// # Errors
    /// If the seed returns an error or panics.
    pub fn restore(&mut self, bytes: &[u8], from_version: u32) -> Result<()> {
        from_wire(self.0.restore(bytes.into(), from_version))
    }
}

/// A blender that a plugin built.
pub struct BlendInstance(BlendBox);

impl BlendInstance {
    pub(super) fn new(object: BlendBox) -> Self {
        Self(object)
    }
    /// Returns the blender's variables, sorted by name.
    ///
    /// # Errors
    /// If the plugin fails.
    pub fn variables(&self) -> Result<Vec<Variable>> {
        read_variables(self.0.variables())
    }
    /// Calls [`Blender::curve`](crate::Blender::curve).
    ///
    /// # Errors
    /// If the blender panics.
    pub fn curve(&self, t: f64) -> Result<f64> {
        from_wire(self.0.curve(t))
    }
    /// Calls [`Blender::gate`](crate::Blender::gate).
    ///
    /// # Shapes
    /// `features` has the shape of the seed's input; the output should be `[N, 1, ...]` of the same rank. The
    /// caller must check it.
    ///
    /// # Errors
    /// If the blender returns an error or panics.
    pub fn gate(&mut self, features: &Tensor, cx: &Cx<'_>) -> Result<Option<Tensor>> {
        let gate = from_wire(self.0.gate(TensorRef::new(features), WireCx::new(cx)))?;
        Ok(gate.into_option().map(RawTensor::take))
    }
    /// Calls [`Blender::mix`](crate::Blender::mix).
    ///
    /// # Shapes
    /// `host` and `seed` have the same shape; `alpha` is 0-dim or `[N, 1, ...]`. The output should have the
    /// shape of `host`. The caller must check it.
    ///
    /// # Errors
    /// If the blender returns an error or panics.
    pub fn mix(&mut self, host: &Tensor, seed: &Tensor, alpha: &Tensor, cx: &Cx<'_>) -> Result<Tensor> {
        let (host, seed, alpha) = (TensorRef::new(host), TensorRef::new(seed), TensorRef::new(alpha));
        from_wire(self.0.mix(host, seed, alpha, WireCx::new(cx))).map(RawTensor::take)
    }
    /// Calls [`Blender::state`](crate::Blender::state).
    ///
    /// # Errors
    /// If the blender returns an error or panics.
    pub fn state(&self) -> Result<Vec<u8>> {
        from_wire(self.0.state()).map(Into::into)
    }
    /// Calls [`Blender::restore`](crate::Blender::restore).
    ///
    /// # Errors
    /// If the blender returns an error or panics.
    pub fn restore(&mut self, bytes: &[u8], from_version: u32) -> Result<()> {
        from_wire(self.0.restore(bytes.into(), from_version))
    }
}

/// A host network that a plugin built.
pub struct HostInstance {
    object: HostBox,
    slots: Vec<SlotSpec>,
}

impl HostInstance {
    pub(super) fn new(object: HostBox) -> Result<Self> {
        let slots = from_wire(object.slots())?.into_iter().map(SlotSpec::from).collect();
        Ok(Self { object, slots })
    }
    /// Slots in the order in which forward reaches them.
    pub fn slots(&self) -> &[SlotSpec] {
        &self.slots
    }
    /// Returns the host's variables, sorted by name.
    ///
    /// # Errors
    /// If the plugin fails.
    pub fn variables(&self) -> Result<Vec<Variable>> {
        read_variables(self.object.variables())
    }
    /// Calls [`HostModule::forward`](crate::HostModule::forward). A panic in `taps` becomes an error of the
    /// tap and does not unwind into the plugin.
    ///
    /// # Shapes
    /// `x` and the output have the shapes of the task.
    ///
    /// # Errors
    /// If the host or a tap returns an error, or the host panics.
    pub fn forward(&mut self, x: &Tensor, mode: Mode, taps: &mut dyn TapHandler) -> Result<Tensor> {
        let mut guarded = GuardedTaps(taps);
        let sink = TapSink_TO::from_ptr(RMut::new(&mut guarded), TD_Opaque);
        from_wire(self.object.forward(TensorRef::new(x), mode.is_train(), sink)).map(RawTensor::take)
    }
    /// Calls [`HostModule::forward_cached`](crate::HostModule::forward_cached). `None` for a plugin that was
    /// built for 1.0.
    ///
    /// # Shapes
    /// `x`: tokens `[N, T]`; the output should be `[N, vocabulary]`. The caller must check it.
    ///
    /// # Errors
    /// As for [`forward`](Self::forward).
    pub fn forward_cached(
        &mut self,
        x: &Tensor,
        past: i64,
        taps: &mut dyn TapHandler,
    ) -> Result<Option<Tensor>> {
        let mut guarded = GuardedTaps(taps);
        let sink = TapSink_TO::from_ptr(RMut::new(&mut guarded), TD_Opaque);
        let output = from_wire(self.object.forward_cached(TensorRef::new(x), past, sink))?;
        Ok(output.into_option().map(RawTensor::take))
    }
    /// Calls [`HostModule::state`](crate::HostModule::state). The state is empty for a plugin that was built
    /// for 1.0.
    ///
    /// # Errors
    /// If the host returns an error or panics.
    pub fn state(&self) -> Result<Vec<u8>> {
        from_wire(self.object.state()).map(Into::into)
    }
    /// Calls [`HostModule::restore`](crate::HostModule::restore).
    ///
    /// # Errors
    /// If the host returns an error or panics.
    pub fn restore(&mut self, bytes: &[u8], from_version: u32) -> Result<()> {
        from_wire(self.object.restore(bytes.into(), from_version))
    }
}

/// The taps of a forward, whose panics become errors.
struct GuardedTaps<'a>(&'a mut dyn TapHandler);

impl TapSink for GuardedTaps<'_> {
    fn at(&mut self, slot: usize, x: RawTensor) -> Wire<RawTensor> {
        to_wire(guard(|| self.0.at(slot, x.take())).result, RawTensor::new)
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
