//! A rank, as the others know it, and the keys of what it writes into the store.

use serde::{Deserialize, Serialize};

/// A rank, as it has introduced itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peer {
    /// Name of its machine.
    pub(crate) host: String,
    /// Number of its process.
    pub(crate) process: u32,
    /// Number of ranks that it was started with.
    pub(crate) size: usize,
}

impl Peer {
    /// Key of the introduction of a rank.
    pub(crate) fn key(rank: usize) -> String {
        format!("rank/{rank}")
    }

    /// Key of the signs of life of a rank.
    pub(crate) fn sign(rank: usize) -> String {
        format!("sign/{rank}")
    }

    /// Key of the reason for which a rank has ended.
    pub(crate) fn gone(rank: usize) -> String {
        format!("gone/{rank}")
    }

    /// Key that a rank sets when it has done everything.
    pub(crate) fn left(rank: usize) -> String {
        format!("left/{rank}")
    }
}
