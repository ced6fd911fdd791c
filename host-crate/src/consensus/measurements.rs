//! Joining the measurements that each rank has made on its part of the data, so that every rank decides from
//! the same numbers.

use super::ConsensusError;
use crate::lifecycle::{GradientCapture, SlotInputs};

/// Replaces the measurements of this rank's slots by those of the whole run.
///
/// Norms and distances are means over the ranks; a seed is healthy if it is on every rank, and leaks or
/// violates isolation if it does on any rank. Everything else stays as this rank has it: the ranks vote on
/// what follows from it.
///
/// # Errors
/// If the ranks have measured different slots or steps.
pub(crate) fn merge(
    mine: &mut [SlotInputs],
    ranks: &[Vec<SlotInputs>],
    names: &[&str],
) -> Result<(), ConsensusError> {
    let Some((first, others)) = ranks.split_first() else { return Ok(()) };
    let mut sums = first.clone();
    for (index, other) in others.iter().enumerate() {
        if other.len() != sums.len() {
            return Err(differ("", index + 1, "slots", other.len(), sums.len()));
        }
        for ((sum, other), name) in sums.iter_mut().zip(other).zip(names) {
            add(name, index + 1, sum, other)?;
        }
    }
    let count = ranks.len() as f64;
    for (slot, sum) in mine.iter_mut().zip(sums) {
        slot.gradients = sum.gradients;
        for capture in &mut slot.gradients {
            capture.host_norm /= count;
            capture.seed_norm /= count;
        }
        slot.shadow_distance = sum.shadow_distance.map(|sum| sum / count);
        (slot.healthy, slot.leaks) = (sum.healthy, sum.leaks);
    }
    Ok(())
}

/// Adds the measurements of another rank to the sums in `mine`.
fn add(slot: &str, rank: usize, mine: &mut SlotInputs, other: &SlotInputs) -> Result<(), ConsensusError> {
    if other.gradients.len() != mine.gradients.len() {
        let place = format!("slot `{slot}`: ");
        return Err(differ(&place, rank, "gradients", other.gradients.len(), mine.gradients.len()));
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

fn differ(place: &str, rank: usize, what: &str, theirs: usize, first: usize) -> ConsensusError {
    ConsensusError::OutOfStep(format!(
        "{place}rank {rank} has measured {theirs} {what}, rank 0 has measured {first}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(norm: f64, healthy: Option<bool>) -> SlotInputs {
        let capture = GradientCapture { violation: norm > 2.0, ..GradientCapture::new(norm, 2.0 * norm) };
        SlotInputs { gradients: vec![capture], healthy, shadow_distance: Some(norm), ..SlotInputs::default() }
    }

    fn merged(ranks: &[Vec<SlotInputs>]) -> Result<SlotInputs, String> {
        let mut mine = ranks[1].clone();
        merge(&mut mine, ranks, &["late"]).map_err(|error| error.to_string())?;
        Ok(mine.swap_remove(0))
    }

    #[test]
    fn every_rank_decides_from_the_same_numbers() {
        let own = SlotInputs { contribution: Some(-1.0), ..slot(3.0, Some(true)) };
        let found = merged(&[vec![slot(1.0, None)], vec![own]]).unwrap();
        let expected = GradientCapture { violation: true, ..GradientCapture::new(2.0, 4.0) };
        assert_eq!((found.gradients[0], found.shadow_distance), (expected, Some(2.0)));
        assert_eq!((found.healthy, found.contribution), (Some(true), Some(-1.0)));
        let ill = merged(&[vec![slot(1.0, Some(false))], vec![slot(1.0, Some(true))]]).unwrap();
        assert_eq!(ill.healthy, Some(false));
    }

    #[test]
    fn ranks_that_measured_other_steps_are_out_of_step() {
        assert_eq!(
            merged(&[vec![slot(1.0, None)], vec![SlotInputs::default()]]).unwrap_err(),
            "the ranks are out of step: slot `late`: rank 1 has measured 0 gradients, rank 0 has measured 1"
        );
        assert!(merged(&[vec![slot(1.0, None)], Vec::new()]).is_err());
    }
}
