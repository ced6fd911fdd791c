//! The tensor work of one slot: what a seed does to the features that pass it, and whether it may.

mod contract;
mod forward;
mod monitor;
mod probe;
mod slot;

pub(crate) use forward::{AlphaOverride, Grafting, Pass};
pub use monitor::{GradientIsolationMonitor, Measured};
pub use probe::ProbeError;
pub(crate) use probe::{Promises, probe};
pub use slot::{Features, SeedSlot};
pub(crate) use slot::{LiveSeed, Origin, blend_group, seed_group, trainable};

use kasmina_plugin_api::{ErrorKind, PluginError};

/// A failure of the shim, as author code's callers know it.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn torch(error: kasmina_torch_ext::Error) -> PluginError {
    PluginError::new(ErrorKind::Torch, error.to_string())
}
