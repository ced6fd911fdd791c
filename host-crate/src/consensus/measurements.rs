//! Joining the measurements that each rank has made on its part of the data, so that every rank decides from
//! the same numbers.

use super::ConsensusError;
use crate::lifecycle::{GradientCapture, SlotInputs};

/// Returns the measurements of all slots for the whole run, from those of each rank.
///
/// Norms and distances are means over the ranks; a seed is healthy if it is on every rank, and leaks or
/// violates isolation if it does on any rank.
///
/// # Errors
/// If the ranks have measured different slots or steps.
pub(crate) fn merge(ranks: &[Vec<SlotInputs>]) -> Result<Vec<SlotInputs>, ConsensusError> {
    let Some((first, others)) = ranks.split_first() else { return Ok(Vec::new()) };
    let mut merged = first.clone();
    for (index, other) in others.iter().enumerate() {
        if other.len() != merged.len() {
            return Err(differ(index + 1, "slots", other.len(), merged.len()));
        }
        for (mine, other) in merged.iter_mut().zip(other) {
            add(index + 1, mine, other)?;
        }
    }
    let count = ranks.len() as f64;
    for slot in &mut merged {
        for capture in &mut slot.gradients {
            capture.host_norm /= count;
            capture.seed_norm /= count;
        }
        slot.shadow_distance = slot.shadow_distance.map(|sum| sum / count);
    }
    Ok(merged)
}

/// Adds the measurements of another rank to the sums in `mine`.
fn add(rank: usize, mine: &mut SlotInputs, other: &SlotInputs) -> Result<(), ConsensusError> {
    if other.gradients.len() != mine.gradients.len() {
        return Err(differ(rank, "gradients", other.gradients.len(), mine.gradients.len()));
    }
    for (sum, capture) in mine.gradients.iter_mut().zip(&other.gradients) {
        let GradientCapture { host_norm, seed_norm, violation } = *capture;
        sum.host_norm += host_norm;
        sum.seed_norm += seed_norm;
        sum.violation |= violation;
    }
    mine.healthy = match (mine.healthy, other.healthy) {
        (Some(a), Some(b)) => Some(a && b),
        (one, other) => one.or(other),
    };
    mine.leaks |= other.leaks;
    mine.shadow_distance = mine.shadow_distance.zip(other.shadow_distance).map(|(a, b)| a + b);
    Ok(())
}

fn differ(rank: usize, what: &str, theirs: usize, first: usize) -> ConsensusError {
    ConsensusError::OutOfStep(format!(
        "rank {rank} has measured {theirs} {what}, rank 0 has measured {first}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(norm: f64, healthy: Option<bool>) -> SlotInputs {
        let capture = GradientCapture { violation: norm > 2.0, ..GradientCapture::new(norm, 2.0 * norm) };
        SlotInputs { gradients: vec![capture], healthy, shadow_distance: Some(norm), ..SlotInputs::default() }
    }

    #[test]
    fn every_rank_decides_from_the_same_numbers() {
        let merged = merge(&[vec![slot(1.0, None)], vec![slot(3.0, Some(true))]]).unwrap();
        let expected = GradientCapture { violation: true, ..GradientCapture::new(2.0, 4.0) };
        assert_eq!((merged[0].gradients[0], merged[0].shadow_distance), (expected, Some(2.0)));
        assert_eq!(merged[0].healthy, Some(true));
        let ill = merge(&[vec![slot(1.0, Some(true))], vec![slot(1.0, Some(false))]]).unwrap();
        assert_eq!(ill[0].healthy, Some(false));
    }

    #[test]
    fn ranks_that_measured_other_steps_are_out_of_step() {
        let error = merge(&[vec![slot(1.0, None)], vec![SlotInputs::default()]]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the ranks are out of step: rank 1 has measured 0 gradients, rank 0 has measured 1"
        );
        assert!(merge(&[vec![slot(1.0, None)], Vec::new()]).is_err());
    }
}
