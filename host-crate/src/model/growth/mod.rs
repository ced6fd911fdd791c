//! Changes of structure: commands, votes between ranks, transactions and germination.

mod build_seed;
mod curve;
mod execute;
mod germinate;
mod prefetch;
mod state;
mod transaction;
mod vote;

pub(super) use curve::sample_points;
pub(super) use state::Growth;
pub use state::PrefetchState;
pub(super) use transaction::Transaction;
pub(super) use vote::{Question, subject_text};
