//! Signals for learned controllers: the features of a slot, and the reward of an epoch.
//!
//! Both are pure functions of reports and events, so that a recorded run can be converted to training data.

mod features;
mod reward;

pub use features::{FEATURES, FEATURES_VERSION, features};
pub use kasmina_records::Reward;
pub use reward::{RewardWeights, reward};
