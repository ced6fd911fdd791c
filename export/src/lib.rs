//! Use of trained networks, and their export in the formats of other programs.
//!
//! A [`Source`] is what a path leads to: a run, a checkpoint or an export. [`Network`] computes with it:
//! [`classify`](Network::classify), [`generate`](Network::generate), or [`forward`](Network::forward).
//! [`pytorch`] writes a network as a Hugging Face folder with a generated Python file that needs PyTorch alone;
//! [`Structure`] describes what it writes. Nothing here trains.

#![forbid(unsafe_code)]

mod classify;
mod error;
mod evaluate;
mod exported;
mod folder;
mod generate;
mod names;
mod network;
pub mod pytorch;
mod record;
mod source;
mod structure;
mod text;

pub use classify::{Classified, Ranked};
pub use error::ExportError;
pub use exported::Exported;
pub use generate::Sampling;
pub use network::Network;
pub use record::Record;
pub use source::Source;
pub use structure::{Part, SeedInSlot, Structure};
