//! Descriptions of the features at a slot, for which seeds and blends are built.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use tch::{Device, Kind};

/// Kind of feature map in a host.
///
/// The set is open: a host may define its own, such as `Topology::new("graph")`. Blueprints and blends
/// declare which ones they support.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topology(&'static str);

impl Topology {
    /// Feature maps `[N, C, H, W]`.
    pub const CNN: Self = Self("cnn");
    /// Hidden states `[N, T, C]`, causal in `T`.
    pub const TRANSFORMER: Self = Self("transformer");

    /// Creates a topology from a constant name.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }
    /// Creates a topology from a name that was read. Each distinct name stays in memory until the process
    /// ends.
    pub fn from_name(name: &str) -> Self {
        static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
        for known in [Self::CNN, Self::TRANSFORMER] {
            if known.0 == name {
                return known;
            }
        }
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(name) {
            return Self(known);
        }
        let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
        names.insert(kept);
        Self(kept)
    }
    /// Name of the topology in records and configurations.
    pub const fn as_str(&self) -> &'static str {
        self.0
    }
}

impl From<Topology> for String {
    fn from(topology: Topology) -> Self {
        topology.as_str().to_owned()
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Memory format of features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Layout {
    /// Row-major order: NCHW for images, NTC for sequences.
    #[default]
    Contiguous,
    /// NHWC order in memory with an NCHW shape.
    ChannelsLast,
}

impl Layout {
    /// Name of the format in listings and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Contiguous => "contiguous",
            Self::ChannelsLast => "channels_last",
        }
    }
}

/// The place for which a seed or blend is built: topology, channels, memory format, device and dtype.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Site {
    topology: Topology,
    channels: i64,
    layout: Layout,
    device: Device,
    dtype: Kind,
}

impl Site {
    /// Creates a contiguous float32 site on the CPU.
    pub fn new(topology: Topology, channels: i64) -> Self {
        Self { topology, channels, layout: Layout::Contiguous, device: Device::Cpu, dtype: Kind::Float }
    }
    /// Sets the memory format of the features.
    #[must_use]
    pub fn with_layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }
    /// Sets the device of the features.
    #[must_use]
    pub fn with_device(mut self, device: Device) -> Self {
        self.device = device;
        self
    }
    /// Sets the dtype of the features.
    #[must_use]
    pub fn with_dtype(mut self, dtype: Kind) -> Self {
        self.dtype = dtype;
        self
    }
    /// Topology of the features.
    pub fn topology(&self) -> Topology {
        self.topology
    }
    /// Size of the channel dimension.
    pub fn channels(&self) -> i64 {
        self.channels
    }
    /// Memory format of the features.
    pub fn layout(&self) -> Layout {
        self.layout
    }
    /// Device of the features. The variables that `build` creates are on this device.
    pub fn device(&self) -> Device {
        self.device
    }
    /// Data type of the features.
    pub fn dtype(&self) -> Kind {
        self.dtype
    }
}
