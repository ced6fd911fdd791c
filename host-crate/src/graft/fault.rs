//! A failed call of a seed or blend.

use kasmina_plugin_api::PluginError;

/// A failed call of the seed or blend of a slot.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) part: Part,
    pub(crate) error: PluginError,
}

/// Part of a slot whose call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Seed,
    Blend,
}
