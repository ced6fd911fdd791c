//! What lasts between two steps, to be kept elsewhere and given back.
//!
//! Each part of a model has a `state()` and a `restore()` beside it. A state consists of numbers and texts,
//! which can be serialised, and of tensors by name. Nothing here reads or writes a file.

mod error;
mod names;
mod tensors;

pub use error::StateError;
pub(crate) use names::Resolve;
pub use names::{EntryName, GlideState, LiveState, PartState, SlotState};
pub use tensors::{GivenTensors, StateTensors};
pub(crate) use tensors::{copy_all, rows};
