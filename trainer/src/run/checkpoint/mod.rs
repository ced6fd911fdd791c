//! Saving a run, and going on with it.
//!
//! `collect` asks every part for its state, `staging` copies the tensors to host memory, `writer` writes on a
//! thread of its own, `saver` decides when. `open` finds the checkpoint that a run goes on from and judges
//! its settings, `builds` brings the builds of plugins that it needs, `restore` gives every part its state
//! back.

mod builds;
mod collect;
mod collected;
mod environment;
mod files;
mod go_back;
mod open;
mod overrides;
mod restore;
mod restored;
mod saved;
mod saver;
mod staging;
mod state;
mod writer;

pub use collect::input_hashes;
pub use open::{Opened, ResumeOptions, Resumption};
pub(super) use restored::Restored;
pub use saved::{Choice, SavedBuilds, SavedNetwork};
pub(super) use saver::{Saver, When};
pub(super) use state::Position;
pub use writer::Saved;
