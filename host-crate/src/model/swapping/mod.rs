//! Another build of a plugin under a living model: taken in, tried, confirmed or taken back; and panics.
//!
//! Seeds and hosts stay on the build that they were made with. Blends move over, between two steps, with
//! their variables, their state, the optimizer's, and alpha where it is. Then they are on trial: for some
//! steps every call is watched, and what fails, makes values that are not finite, or takes too long goes back
//! to the build before it.

mod adopt;
mod contain;
mod exchange;
mod policy;
mod roll_back;
mod snapshot;
mod state;
mod trial;

pub use policy::{PanicPolicies, PanicPolicy};
pub(super) use snapshot::Snapshot;
pub(super) use state::Swapping;
pub use state::{Recovered, TrialSettings};
