//! The random numbers that a host draws from torch's own generators, for instance for dropout.

use crate::error::TrainError;
use kasmina_torch_ext::rng::{derive_seed, seed_all};

/// Seeds torch's generators for an epoch. Each rank draws its own numbers, for its own part of the data.
pub(super) fn seed_generators(seed: u64, epoch: u32, rank: usize) -> Result<(), TrainError> {
    let (epoch, rank) = (epoch.to_string(), (rank > 0).then(|| rank.to_string()));
    let path: Vec<&str> = ["host", &epoch].into_iter().chain(rank.as_deref()).collect();
    Ok(seed_all(derive_seed(seed, &path))?)
}
