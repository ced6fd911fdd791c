//! The samples of a batch that one rank computes, in parts if gradients are accumulated.

use super::super::checkpoint::Place;

/// A part of a batch that one rank computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::run) struct Shard {
    /// Index of its first sample in the batch.
    pub(in crate::run) start: i64,
    /// Number of samples that it computes, at least 1.
    pub(in crate::run) samples: i64,
    /// Number of these samples that count: `samples`, or 0 if the batch has too few for all ranks.
    pub(in crate::run) counted: i64,
}

impl Shard {
    /// Returns the part of a batch for rank `rank` of `size`. All parts together are the batch; their sizes
    /// differ by 1 at most. A rank without a part computes the first sample, which does not count.
    pub(super) fn of(samples: i64, rank: i64, size: i64) -> Self {
        let (share, rest) = (samples / size, samples % size);
        let counted = share + i64::from(rank < rest);
        let start = if counted == 0 { 0 } else { rank * share + rank.min(rest) };
        Self { start, samples: counted.max(1), counted }
    }
}

/// The samples of a batch that one rank computes, in the parts of an accumulation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::run) struct Split {
    /// At least one part.
    pub(in crate::run) parts: Vec<Shard>,
}

impl Split {
    /// Returns the samples of a rank. The batch is divided into `parts` parts, the same for any number of
    /// ranks, and each part into the shards of the ranks. There are fewer parts if a rank would have no
    /// sample of one.
    pub(in crate::run) fn of(samples: i64, parts: i64, place: Place) -> Self {
        let (rank, size) = (place.rank as i64, place.size as i64);
        let parts = parts.min(samples / size).max(1);
        let shard = |part| {
            let whole = Shard::of(samples, part, parts);
            let own = Shard::of(whole.samples, rank, size);
            Shard { start: whole.start + own.start, ..own }
        };
        Self { parts: (0..parts).map(shard).collect() }
    }

    /// Returns the number of samples that the rank computes.
    pub(in crate::run) fn samples(&self) -> i64 {
        self.parts.iter().map(|part| part.samples).sum()
    }

    /// Returns the number of these samples that count.
    pub(in crate::run) fn counted(&self) -> i64 {
        self.parts.iter().map(|part| part.counted).sum()
    }

    /// Returns the number of samples of each part, for the steps; empty for one part.
    pub(in crate::run) fn sizes(&self) -> Vec<i64> {
        let sizes = self.parts.iter().map(|part| part.samples);
        if self.parts.len() > 1 { sizes.collect() } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Shard, Split};

    /// Every rank has as many parts as the others, and all parts together are the batch.
    #[test]
    fn the_parts_of_an_accumulation_are_the_same_for_any_number_of_ranks() {
        for samples in 1..70 {
            for parts in 1..9 {
                for size in 1..5 {
                    let of = |rank| Split::of(samples, parts, Place { rank, size });
                    let splits: Vec<Split> = (0..size).map(of).collect();
                    assert!(splits.iter().all(|split| split.parts.len() == splits[0].parts.len()));
                    let mut covered: Vec<i64> = splits
                        .iter()
                        .flat_map(|split| &split.parts)
                        .flat_map(|part| part.start..part.start + part.counted)
                        .collect();
                    covered.sort_unstable();
                    assert_eq!(covered, (0..samples).collect::<Vec<_>>());
                    let counted: i64 = splits.iter().map(Split::counted).sum();
                    assert_eq!(counted, samples);
                    // A rank without samples of a part exists only if the batch has fewer samples than ranks.
                    let none = splits.iter().flat_map(|split| &split.parts).any(|part| part.counted == 0);
                    assert_eq!(none, samples < size as i64);
                }
            }
        }
    }

    #[test]
    fn the_parts_of_all_ranks_are_the_batch() {
        for samples in 1..40 {
            for size in 1..7 {
                let parts: Vec<Shard> = (0..size).map(|rank| Shard::of(samples, rank, size)).collect();
                let covered: Vec<i64> =
                    parts.iter().flat_map(|part| part.start..part.start + part.counted).collect();
                assert_eq!(covered, (0..samples).collect::<Vec<_>>());
                let (least, most) = (parts[size as usize - 1].counted, parts[0].counted);
                assert!(
                    most - least <= 1
                        && parts.iter().all(|p| p.samples >= 1 && p.start + p.samples <= samples)
                );
            }
        }
    }
}
