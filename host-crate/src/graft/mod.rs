//! The tensor work of one slot: what a seed does to the features that pass it, and whether it may.

mod contract;
mod forward;
mod probe;
mod slot;
mod telemetry;

pub(crate) use forward::{AlphaOverride, Grafting, Pass};
pub use probe::ProbeError;
pub(crate) use probe::{Promises, probe};
pub(crate) use slot::LiveSeed;
pub use slot::{Features, SeedSlot};
