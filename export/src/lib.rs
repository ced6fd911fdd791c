//! Use of trained networks, and their export in the formats of other programs.
//!
//! A [`Source`] is what a path names: a run, a checkpoint or an export. [`Network`] computes with it:
//! [`classify`](Network::classify), [`generate`](Network::generate), or [`forward`](Network::forward).
//! [`export`] writes a network as a Hugging Face folder with a generated Python file that needs PyTorch
//! alone, as TorchScript, or as weights alone; [`Structure`] describes what it writes. Nothing here trains.

#![forbid(unsafe_code)]

mod adapter;
mod card;
mod classify;
mod content;
mod describe;
mod difference;
mod error;
mod evaluate;
mod example;
mod export;
mod exported;
mod fold;
mod folder;
mod folding;
mod format;
mod generate;
mod names;
mod network;
mod pytorch;
mod record;
mod source;
mod stored;
mod structure;
mod text;
mod torchscript;
mod weights;
mod weights_only;

pub use classify::{Classified, Ranked};
pub use error::ExportError;
pub use export::{Options, Written, export};
pub use exported::Exported;
pub use folding::{FoldedSeed, Folding, KeptSeed};
pub use format::Format;
pub use generate::Sampling;
pub use network::Network;
pub use record::Record;
pub use source::Source;
pub use structure::{Part, SeedInSlot, Structure};
