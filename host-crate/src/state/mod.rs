//! The state of a model between two training steps, in a form that can be saved and restored.
//!
//! Each part of a model has a `state()` and a `restore()` method. A state consists of serialisable structs,
//! which hold numbers and texts, and of named tensors. Nothing here reads or writes a file.

mod error;
mod names;
mod tensors;

pub use error::StateError;
pub(crate) use names::Resolve;
pub use names::{EntryName, GlideState, LiveState, PartState, SlotState};
pub use tensors::{RestoredTensors, StateTensors};
pub(crate) use tensors::{copy_all, rows};
