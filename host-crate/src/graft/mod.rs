//! The tensor work of one slot: what a seed does to the features that pass it, and whether it may.

mod buffers;
pub(crate) mod contract;
mod forward;
mod glide;
pub(crate) mod layout;
mod monitor;
mod probe;
mod pulse;
mod slot;

pub(crate) use buffers::Buffers;
pub(crate) use forward::{AlphaOverride, Grafting, Pass};
pub use monitor::{GradientIsolationMonitor, Measured};
pub(crate) use monitor::{Mark, Queued};
pub use probe::ProbeError;
pub(crate) use probe::{Promises, probe, probe_blend};
pub(crate) use pulse::HOST;
pub use pulse::{Beat, Pulse};
pub(crate) use slot::{Before, Course, Fault, LiveSeed, Origin, Part, Trial};
pub use slot::{Features, SeedSlot};
pub(crate) use slot::{blend_group, seed_group, trainable};

use kasmina_plugin_api::{ErrorKind, PluginError};

/// A failure of the shim, as author code's callers know it.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn torch(error: kasmina_torch_ext::Error) -> PluginError {
    PluginError::new(ErrorKind::Torch, error.to_string())
}
