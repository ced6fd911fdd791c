//! Signals for learned controllers: what a slot looks like as numbers, and what an epoch was worth.
//!
//! Both are pure functions of reports and events, so that a recorded run can be turned into training data.

mod features;
mod reward;

pub use features::{FEATURES, FEATURES_VERSION, features};
pub use kasmina_records::Reward;
pub use reward::{RewardWeights, reward};
