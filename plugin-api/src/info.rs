//! Constant descriptions of entries, which a plugin's file contains and which are read without running it.

use crate::site::Topology;
use std::fmt;

/// Kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A blueprint: the architecture of a seed.
    Blueprint,
    /// A blend: an algorithm that blends a seed into its host.
    Blend,
    /// A host: a network with slots.
    Host,
}

impl Kind {
    /// Name of the kind in records, listings and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blueprint => "blueprint",
            Self::Blend => "blend",
            Self::Host => "host",
        }
    }

    /// Returns the kind of a name in a record; `None` for other names.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Blueprint, Self::Blend, Self::Host].into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A property that an entry declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// The seed draws random numbers in forward, for example for dropout. It gets a random stream of its own.
    Stochastic,
    /// The output of a new seed equals its input.
    IdentityAtBirth,
    /// The entry cannot run inside a captured CUDA graph, because it reads [`Cx::step`](crate::Cx::step),
    /// waits for the device, or does work on the CPU that every step needs.
    NotCapturable,
    /// For blends: at alpha 1 the mixture is exactly the seed's features. The blend is then not called at
    /// alpha 1, so that a fossilized seed costs no more than the seed itself.
    SeedAtOne,
}

impl Capability {
    /// Name of the capability in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stochastic => "stochastic",
            Self::IdentityAtBirth => "identity_at_birth",
            Self::NotCapturable => "not_capturable",
            Self::SeedAtOne => "seed_at_one",
        }
    }
}

/// Constant description of a blueprint, blend or host.
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
    /// Id, unique among the plugin's entries of one kind; lower-case letters, digits, `_` and `-`.
    pub id: &'static str,
    /// Summary of one line, for listings.
    pub summary: &'static str,
    /// Topologies that the entry supports; empty means all.
    pub topologies: &'static [Topology],
    /// Capabilities that the entry declares.
    pub capabilities: &'static [Capability],
    /// Version of the bytes that `state` returns.
    pub state_version: u32,
}

impl EntryInfo {
    /// Describes an entry that supports every topology and declares no capabilities.
    pub const fn new(id: &'static str, summary: &'static str) -> Self {
        Self { id, summary, topologies: &[], capabilities: &[], state_version: 1 }
    }
    /// Sets the topologies that the entry supports.
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

/// Cost of a seed, known before it is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Number of trainable parameters.
    pub parameters: u64,
    /// Multiply-adds of one forward per position of the feature map.
    pub flops_per_position: u64,
}
