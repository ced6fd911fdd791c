//! Trained networks in the formats of other programs.
//!
//! [`Structure`] describes what a checkpoint contains: the host and each seed that takes part in the output.
//! [`pytorch`] writes it as a Hugging Face folder with a generated Python file that needs PyTorch alone.
//! [`Network`] computes with it. Nothing here trains.

#![forbid(unsafe_code)]

mod error;
mod folder;
mod network;
pub mod pytorch;
mod structure;

pub use error::ExportError;
pub use network::Network;
pub use structure::{Part, SeedInSlot, Structure};
