//! The training state that each rank has of its own: generators, streams of random numbers, and measurements
//! that are not joined yet. Rank 0 writes it for all ranks; the other ranks' tensors are named `rank.N.NAME`.

use super::place::Place;
use super::staging::{tensors_of, to_bytes};
use crate::run::ranks::Ranks;
use crate::run::trainer::Trainer;
use kasmina::state::StateError;
use kasmina_checkpoint::Tensors;
use kasmina_torch_ext::rng::RngState;
use std::collections::BTreeMap;
use std::path::Path;
use tch::Tensor;

/// Name of the sum of the losses of all ranks.
pub(super) const LOSS_SUM: &str = "loss_sum";

/// First part of the names of other ranks' tensors.
const PREFIX: &str = "rank.";

/// What a checkpoint has of all ranks.
#[derive(Debug)]
pub(crate) struct OfAllRanks {
    /// Sum of the losses of all ranks; 0-dimensional.
    pub(crate) loss_sum: Tensor,
    /// The tensors of the other ranks, by their names in the checkpoint.
    pub(crate) others: Vec<(String, Tensor)>,
}

impl OfAllRanks {
    /// Returns handles on the same tensors.
    pub(crate) fn share(&self) -> Self {
        let others = self.others.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone()));
        Self { loss_sum: self.loss_sum.shallow_clone(), others: others.collect() }
    }
}

impl Trainer<'_> {
    /// Returns the training state of this rank, as bytes for rank 0; none if it cannot be read, which the
    /// checkpoint then lacks.
    pub(crate) fn own_state(&self) -> Vec<u8> {
        let read = || -> Result<Vec<u8>, StateError> {
            let (_, mut tensors) = self.training.model.state()?;
            tensors.training.extend(generators()?);
            Ok(to_bytes(tensors.training)?)
        };
        read().unwrap_or_else(|error| {
            tracing::warn!("the checkpoint lacks the random numbers of this rank: {error}");
            Vec::new()
        })
    }

    /// Returns the place of this rank.
    pub(crate) fn place(&self) -> Place {
        self.ranks.as_ref().map_or_else(Place::default, Ranks::place)
    }
}

/// Returns the states of torch's generators, by their names in the checkpoint.
pub(super) fn generators() -> Result<Vec<(String, Tensor)>, StateError> {
    let generators = RngState::save()?;
    let named = generators.named().map(|(name, state)| (format!("generators.{name}"), state.shallow_clone()));
    Ok(named.collect())
}

/// Returns the tensors of the other ranks by their names in the checkpoint. `states` has the bytes of every
/// rank.
pub(crate) fn of_others(states: &[Vec<u8>]) -> Vec<(String, Tensor)> {
    let mut all = Vec::new();
    for (rank, bytes) in states.iter().enumerate().skip(1).filter(|(_, bytes)| !bytes.is_empty()) {
        let path = format!("the state of rank {rank}");
        let tensors = Tensors::parse(Path::new(&path), bytes.clone()).map_err(|e| e.to_string());
        match tensors.and_then(|tensors| tensors_of(&tensors).map_err(|e| e.to_string())) {
            Ok(tensors) => {
                all.extend(tensors.into_iter().map(|(name, t)| (format!("{PREFIX}{rank}.{name}"), t)));
            }
            Err(error) => tracing::warn!("the checkpoint lacks the random numbers of rank {rank}: {error}"),
        }
    }
    all
}

/// Leaves in `training` the tensors of one rank. Returns whether they are its own; otherwise they are those
/// of rank 0, because the checkpoint was written by another number of ranks.
pub(super) fn choose(training: &mut BTreeMap<String, Tensor>, place: Place) -> bool {
    let mut others: BTreeMap<usize, BTreeMap<String, Tensor>> = BTreeMap::new();
    for name in training.keys().cloned().collect::<Vec<_>>() {
        let Some((rank, own)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.')) else {
            continue;
        };
        let Ok(rank) = rank.parse() else { continue };
        if let Some(tensor) = training.remove(&name) {
            others.entry(rank).or_default().insert(own.to_owned(), tensor);
        }
    }
    if place.rank == 0 {
        return true;
    }
    if others.len() + 1 != place.size {
        return false;
    }
    let Some(own) = others.remove(&place.rank) else { return false };
    training.retain(|name, _| name == LOSS_SUM);
    training.extend(own);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: i64) -> Tensor {
        Tensor::from_slice(&[n])
    }

    fn chosen(ranks: i64, place: Place) -> (bool, Vec<(String, i64)>) {
        let state = |n: i64| to_bytes(vec![("stream".to_owned(), number(n))]).unwrap();
        let mut training =
            BTreeMap::from([("stream".to_owned(), number(0)), (LOSS_SUM.to_owned(), number(9))]);
        training.extend(of_others(&(0..ranks).map(state).collect::<Vec<_>>()));
        let own = choose(&mut training, place);
        let value = |tensor: Tensor| tensor.f_int64_value(&[0]).unwrap();
        (own, training.into_iter().map(|(name, tensor)| (name, value(tensor))).collect())
    }

    #[test]
    fn each_rank_finds_its_own_state_if_there_are_as_many_ranks() {
        let found = |n| vec![(LOSS_SUM.to_owned(), 9), ("stream".to_owned(), n)];
        for rank in 0..3 {
            assert_eq!(chosen(3, Place { rank, size: 3 }), (true, found(rank as i64)));
        }
        assert_eq!(chosen(3, Place { rank: 1, size: 2 }), (false, found(0)));
        assert_eq!(chosen(1, Place { rank: 1, size: 2 }), (false, found(0)));
        assert_eq!(chosen(3, Place::default()), (true, found(0)));
    }
}
