//! The place of a process among the ranks of a run.

/// A rank among the ranks of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of this rank, from 0.
    pub rank: usize,
    /// Number of ranks.
    pub size: usize,
}

impl Default for Place {
    fn default() -> Self {
        Self { rank: 0, size: 1 }
    }
}
