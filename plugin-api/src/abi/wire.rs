//! Data types of the plugin interface, with conversions from and to the types of this crate.

use crate::{Cost, Cx, ErrorKind, Layout, Mode, PluginError, Result, Site, SlotSpec, Topology};
use abi_stable::StableAbi;
use abi_stable::std_types::{RBox, ROption, RResult, RStr, RString, RVec};
use std::ffi::c_void;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use tch::{Device, Kind, Tensor};

/// An owned pointer to an `at::Tensor`.
#[repr(transparent)]
#[derive(StableAbi)]
pub struct RawTensor(NonNull<c_void>);

// SAFETY: a `RawTensor` owns the same handle as a `tch::Tensor`, which is `Send`.
unsafe impl Send for RawTensor {}

impl RawTensor {
    #[inline]
    pub fn new(tensor: Tensor) -> Self {
        let mut tensor = ManuallyDrop::new(tensor);
        // SAFETY: a live `tch::Tensor` never holds a null handle.
        Self(unsafe { NonNull::new_unchecked(tensor.as_mut_ptr().cast()) })
    }
    #[inline]
    pub fn take(self) -> Tensor {
        let this = ManuallyDrop::new(self);
        // SAFETY: the handle was owned by `self`, which is not dropped.
        unsafe { Tensor::from_ptr(this.0.as_ptr().cast()) }
    }
}

impl Drop for RawTensor {
    fn drop(&mut self) {
        // SAFETY: the handle is owned by `self` and not used again.
        drop(unsafe { Tensor::from_ptr(self.0.as_ptr().cast()) });
    }
}

/// An `at::Tensor*` borrowed for one call.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy)]
pub struct TensorRef<'a>(NonNull<c_void>, PhantomData<&'a ()>);

impl<'a> TensorRef<'a> {
    #[inline]
    pub fn new(tensor: &'a Tensor) -> Self {
        // SAFETY: a live `tch::Tensor` never holds a null handle.
        Self(unsafe { NonNull::new_unchecked(tensor.as_ptr().cast_mut().cast()) }, PhantomData)
    }
    /// Returns a tensor with the same handle, which is not freed on drop.
    #[inline]
    pub fn view(&self) -> ManuallyDrop<Tensor> {
        // SAFETY: the handle is live for `'a`, and `ManuallyDrop` keeps it from being freed.
        ManuallyDrop::new(unsafe { Tensor::from_ptr(self.0.as_ptr().cast()) })
    }
}

#[repr(C)]
#[derive(StableAbi, Debug)]
pub struct WireError {
    code: u32,
    kind: u32,
    message: RString,
    chain: RVec<RString>,
    retryable: bool,
}

/// Result of a call across the interface. The error is boxed, so that results stay small.
pub type Wire<T> = RResult<T, RBox<WireError>>;

impl From<PluginError> for WireError {
    fn from(e: PluginError) -> Self {
        Self {
            code: e.code,
            kind: e.kind.code(),
            message: e.message.into(),
            chain: e.chain.into_iter().map(RString::from).collect(),
            retryable: e.retryable,
        }
    }
}

impl From<WireError> for PluginError {
    fn from(e: WireError) -> Self {
        let mut error = PluginError::new(ErrorKind::from_code(e.kind), e.message.into_string());
        error.code = e.code;
        error.chain = e.chain.into_iter().map(RString::into_string).collect();
        error.retryable = e.retryable;
        error
    }
}

#[inline]
pub fn to_wire<T, U>(result: Result<T>, map: impl FnOnce(T) -> U) -> Wire<U> {
    #[cold]
    fn failed<U>(error: PluginError) -> Wire<U> {
        RResult::RErr(RBox::new(error.into()))
    }
    match result {
        Ok(value) => RResult::ROk(map(value)),
        Err(error) => failed(error),
    }
}

#[inline]
pub fn from_wire<T>(result: Wire<T>) -> Result<T> {
    #[cold]
    fn failed<T>(error: RBox<WireError>) -> Result<T> {
        Err(RBox::into_inner(error).into())
    }
    match result {
        RResult::ROk(value) => Ok(value),
        RResult::RErr(error) => failed(error),
    }
}

#[repr(C)]
#[derive(StableAbi)]
pub struct WireSite<'a> {
    topology: RStr<'a>,
    channels: i64,
    channels_last: bool,
    /// -1 for the CPU, otherwise the number of the CUDA device.
    device: i64,
    /// Bits of the float type: 16, 32, 64, and 160 for bfloat16.
    dtype: u32,
}

impl<'a> WireSite<'a> {
    pub fn new(site: &'a Site) -> Result<Self> {
        let device = match site.device() {
            Device::Cpu => -1,
            Device::Cuda(index) => index as i64,
            other => {
                return Err(PluginError::unsupported(format!(
                    "device {other:?} is not supported by the plugin interface"
                )));
            }
        };
        let dtype = match site.dtype() {
            Kind::Half => 16,
            Kind::Float => 32,
            Kind::Double => 64,
            Kind::BFloat16 => 160,
            other => return Err(PluginError::unsupported(format!("unsupported dtype {other:?}"))),
        };
        let channels_last = site.layout() == Layout::ChannelsLast;
        Ok(Self {
            topology: site.topology().as_str().into(),
            channels: site.channels(),
            channels_last,
            device,
            dtype,
        })
    }

    pub fn read(&self) -> Result<Site> {
        let device = usize::try_from(self.device).map_or(Device::Cpu, Device::Cuda);
        let dtype = match self.dtype {
            16 => Kind::Half,
            32 => Kind::Float,
            64 => Kind::Double,
            160 => Kind::BFloat16,
            other => return Err(PluginError::unsupported(format!("unknown dtype number {other}"))),
        };
        let layout = if self.channels_last { Layout::ChannelsLast } else { Layout::Contiguous };
        let topology = Topology::from_name(self.topology.as_str());
        Ok(Site::new(topology, self.channels).with_layout(layout).with_device(device).with_dtype(dtype))
    }
}

#[repr(C)]
#[derive(StableAbi, Clone, Copy)]
pub struct WireCx<'a> {
    train: bool,
    step: u64,
    slot: RStr<'a>,
}

impl<'a> WireCx<'a> {
    pub fn new(cx: &Cx<'a>) -> Self {
        Self { train: cx.mode().is_train(), step: cx.step(), slot: cx.slot().into() }
    }
    pub fn read(&self) -> Cx<'a> {
        Cx::new(mode(self.train), self.step, self.slot.as_str())
    }
}

pub fn mode(train: bool) -> Mode {
    if train { Mode::Train } else { Mode::Eval }
}

#[repr(C)]
#[derive(StableAbi)]
pub struct WireVariable {
    pub name: RString,
    pub trainable: bool,
    pub tensor: RawTensor,
}

impl WireVariable {
    pub fn new((name, tensor): (String, Tensor)) -> Self {
        Self { name: name.into(), trainable: tensor.requires_grad(), tensor: RawTensor::new(tensor) }
    }
}

#[repr(C)]
#[derive(StableAbi)]
pub struct WireSlot {
    name: RString,
    aliases: RVec<RString>,
    topology: RString,
    channels: i64,
}

impl From<SlotSpec> for WireSlot {
    fn from(spec: SlotSpec) -> Self {
        Self {
            name: spec.name.into(),
            aliases: spec.aliases.into_iter().map(RString::from).collect(),
            topology: spec.topology.as_str().into(),
            channels: spec.channels,
        }
    }
}

impl From<WireSlot> for SlotSpec {
    fn from(slot: WireSlot) -> Self {
        let mut spec =
            SlotSpec::new(slot.name.into_string(), Topology::from_name(&slot.topology), slot.channels);
        spec.aliases = slot.aliases.into_iter().map(RString::into_string).collect();
        spec
    }
}

/// An entry in the list of an opened library.
#[repr(C)]
#[derive(StableAbi)]
pub struct WireEntry {
    /// Record of the entry as JSON, created by the library's code.
    pub record: RString,
    /// JSON schema of the entry's configuration.
    pub schema: RString,
}

#[repr(C)]
#[derive(StableAbi)]
pub struct WireCost {
    parameters: u64,
    flops_per_position: u64,
}

pub fn cost_to_wire(cost: Option<Cost>) -> ROption<WireCost> {
    cost.map(|c| WireCost { parameters: c.parameters, flops_per_position: c.flops_per_position }).into()
}

pub fn cost_from_wire(cost: ROption<WireCost>) -> Option<Cost> {
    cost.into_option().map(|c| Cost { parameters: c.parameters, flops_per_position: c.flops_per_position })
}
