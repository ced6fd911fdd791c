//! What folding did to a network.

use kasmina::state::EntryName;
use serde::{Deserialize, Serialize};

/// A seed that was folded into a layer of its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldedSeed {
    /// Name of the slot.
    pub slot: String,
    /// Id of the seed.
    pub seed_id: String,
    /// The blueprint of the seed.
    pub seed: EntryName,
    /// Name of the weight that contains it now; `None` if the seed changed nothing.
    pub into: Option<String>,
}

/// A seed that stays as a layer of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSeed {
    /// Name of the slot.
    pub slot: String,
    /// The blueprint of the seed.
    pub seed: EntryName,
}

/// What folding did to a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Folding {
    /// The seeds that were folded.
    pub folded: Vec<FoldedSeed>,
    /// The seeds that stay as layers of their own, because they are not linear in each position.
    pub kept: Vec<KeptSeed>,
    /// Largest difference between the outputs of the network before and after, relative to the largest
    /// output, on three batches.
    pub difference: f64,
}
