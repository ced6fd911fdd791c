//! What can be known of an entry without running any of its code: constant, so that it can lie in the file.

use crate::site::Topology;
use std::fmt;

/// The three kinds of entry a plugin can bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A blueprint: the architecture of a seed.
    Blueprint,
    /// An algorithm that blends a seed into its host.
    Blend,
    /// A host network with slots.
    Host,
}

impl Kind {
    /// The word in records, listings and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blueprint => "blueprint",
            Self::Blend => "blend",
            Self::Host => "host",
        }
    }

    /// The kind named by a record.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Blueprint, Self::Blend, Self::Host].into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something an entry declares of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// Draws random numbers in forward (dropout); runs under a generator of its own.
    Stochastic,
    /// Promises that a fresh seed's output equals its input.
    IdentityAtBirth,
    /// Cannot run inside a captured CUDA graph: it looks at [`Cx::step`](crate::Cx::step), waits for the
    /// device, or does on the host what every step needs.
    NotCapturable,
    /// For blends: promises that at alpha 1 the mixture is the seed's features and nothing else. It is then
    /// not asked for: a fossil costs what its seed costs.
    SeedAtOne,
}

impl Capability {
    /// Name of the capability as records have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stochastic => "stochastic",
            Self::IdentityAtBirth => "identity_at_birth",
            Self::NotCapturable => "not_capturable",
            Self::SeedAtOne => "seed_at_one",
        }
    }
}

/// The constant description of one blueprint, blend or host.
///
/// ```
/// use kasmina_plugin_api::{Capability, EntryInfo, Topology};
/// const INFO: EntryInfo = EntryInfo::new("drop_conv", "a convolution with dropout")
///     .topologies(&[Topology::CNN])
///     .capabilities(&[Capability::Stochastic]);
/// assert_eq!(INFO.id, "drop_conv");
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EntryInfo {
    /// Unique among the plugin's entries of one kind; lower case, digits, `_` and `-`.
    pub id: &'static str,
    /// Summary of one line, for listings.
    pub summary: &'static str,
    /// The topologies served; empty means all.
    pub topologies: &'static [Topology],
    /// What the entry declares of itself.
    pub capabilities: &'static [Capability],
    /// The version of the bytes that `state` writes.
    pub state_version: u32,
}

impl EntryInfo {
    /// An entry that serves every topology and declares nothing.
    pub const fn new(id: &'static str, summary: &'static str) -> Self {
        Self { id, summary, topologies: &[], capabilities: &[], state_version: 1 }
    }
    /// Sets the topologies that the entry serves.
    #[must_use]
    pub const fn topologies(mut self, topologies: &'static [Topology]) -> Self {
        self.topologies = topologies;
        self
    }
    /// Sets the capabilities of the entry.
    #[must_use]
    pub const fn capabilities(mut self, capabilities: &'static [Capability]) -> Self {
        self.capabilities = capabilities;
        self
    }
    /// Sets the version of the state bytes.
    #[must_use]
    pub const fn state_version(mut self, version: u32) -> Self {
        self.state_version = version;
        self
    }
}

/// What a seed would cost, before it is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Number of trainable parameters.
    pub parameters: u64,
    /// Multiply-adds per position of the feature map, forward.
    pub flops_per_position: u64,
}
