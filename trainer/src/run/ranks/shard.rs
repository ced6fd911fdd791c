//! The part of a batch that one rank computes.

/// The part of a batch that one rank computes.
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

#[cfg(test)]
mod tests {
    use super::Shard;

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
