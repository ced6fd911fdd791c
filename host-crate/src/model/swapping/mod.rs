//! Swapping the build of a plugin while a model trains, and containing panics of plugins.
//!
//! Seeds and hosts stay on the build that made them. Blends move to the new build between two steps, with
//! their variables, state bytes and optimizer state, and alpha keeps its value. Then the build is on trial:
//! for some steps every call of the moved blends is checked, and a call that fails, returns values that are
//! not finite, or takes too long rolls the build back to the previous one.

mod adopt;
mod contain;
mod exchange;
mod on_ranks;
mod policy;
mod roll_back;
mod snapshot;
mod state;
mod trial;

pub use policy::{PanicPolicies, PanicPolicy};
pub(super) use snapshot::Snapshot;
pub(super) use state::Swapping;
pub use state::{Recovered, TrialSettings};
