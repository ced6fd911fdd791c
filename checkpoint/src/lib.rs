//! The on-disk format of checkpoints.
//!
//! A checkpoint is a folder with five files:
//!
//! | file | holds |
//! |---|---|
//! | `model.safetensors` | every variable of the network, buffers included, by stable name |
//! | `optimizer.safetensors` | optimizer state, `<parameter name>.exp_avg` and the like |
//! | `training.safetensors` | whatever else is a tensor: generators, sums, queued measurements |
//! | `state.json` | everything else, with a schema version |
//! | `manifest.json` | size and SHA-256 of the other files, and what the checkpoint is of; written last |
//!
//! It is written under another name, synchronised with the disk and renamed, so a folder that has a
//! checkpoint's name is whole. Reading checks every size and hash before anything of a file is used.
//!
//! This crate knows names, dtypes, shapes and bytes. It does not know tensors, networks, or who trains what.

#![forbid(unsafe_code)]

mod error;
mod folder;
mod manifest;
mod read;
mod retention;
mod schema;
mod space;
mod tensors;
mod write;

pub use error::CheckpointError;
pub use folder::{FOLDER, Listed, clean, list, newest_first};
pub use manifest::{About, FileRecord, Manifest};
pub use read::{Checkpoint, parse_state, verify};
pub use retention::{Keep, prune, prune_verified, remove_newer, surplus};
pub use safetensors::Dtype;
pub use schema::SCHEMA;
pub use space::free;
pub use tensors::{TensorData, TensorView, Tensors};
pub use write::{Contents, Written, write};
