//! Saving and resuming a run.
//!
//! To save, `collect` collects the state of every part, `staging` copies the tensors to host memory, `writer`
//! writes the files on its own thread, and `saver` decides when. To resume, `open` finds the checkpoint and
//! checks the settings, `builds` loads the builds of plugins, and `restore` restores the state of every part.

mod builds;
mod collect;
mod collected;
mod environment;
mod files;
mod go_back;
mod open;
mod overrides;
mod place;
mod rank_state;
mod restore;
mod restored;
mod saved;
mod saver;
mod staging;
mod state;
mod writer;

pub use collect::input_hashes;
pub use open::{Opened, ResumeOptions, Resumption, has_checkpoints};
pub use place::Place;
pub(super) use rank_state::{OfAllRanks, of_others};
pub(super) use restored::Restored;
pub use saved::{Choice, SavedBuilds, SavedNetwork};
pub(super) use saver::{Saver, When};
pub use staging::tensor_of;
pub(super) use state::Position;
pub use writer::Saved;
