//! A failed call of author code.

use kasmina_plugin_api::PluginError;

/// A call of a living instance that failed.
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
