//! The on-disk format of checkpoints.
//!
//! A checkpoint is a folder with five files:
//!
//! | file | contains |
//! |---|---|
//! | `model.safetensors` | every variable of the network, buffers included, by stable name |
//! | `optimizer.safetensors` | optimizer state, `<parameter name>.exp_avg` and the like |
//! | `training.safetensors` | all other tensors: random generators, sums, queued measurements |
//! | `state.json` | everything else, with a schema version |
//! | `manifest.json` | description of the checkpoint, size and SHA-256 of the other files; written last |
//!
//! A checkpoint is written to a folder with a temporary name, synchronized with the disk and renamed. So a
//! folder with the name of a checkpoint is complete. Reading checks the size and hash of a file before it
//! uses its contents.
//!
//! This crate handles names, dtypes, shapes and bytes, without torch. It contains nothing about networks or
//! training.

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
pub use tensors::{TensorData, TensorView, Tensors, to_bytes};
pub use write::{Contents, Written, write};
