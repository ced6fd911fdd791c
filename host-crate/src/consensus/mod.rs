//! Several ranks, one structure: every transition is decided by all ranks or by none.
//!
//! At the edge of an epoch each rank says, slot by slot, where it stands, what it asks and what it would decide.
//! The least verdict counts. Ranks that do not even stand in the same place are out of step, and every one of
//! them says so, within a time limit, instead of waiting for ever. Empty slots take part too: leaving them out is
//! how earlier implementations came to wait for a rank that had nothing to say.

mod ballot;
mod in_process;

pub use ballot::{Act, Ballot};
pub use in_process::InProcess;

use ballot::{Packed, WORDS};
use std::fmt::{Debug, Write as _};
use std::time::Duration;

/// Ranks that could not come to a decision; nothing has changed on any of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsensusError {
    /// They stand in different places.
    #[error("the ranks are out of step: {0}")]
    OutOfStep(String),
    /// Some did not answer in time.
    #[error("no word from rank {} within {:.1} s", list(missing), waited.as_secs_f64())]
    Timeout {
        /// Which.
        missing: Vec<usize>,
        /// How long was waited.
        waited: Duration,
    },
    /// The exchange itself failed.
    #[error("the ranks cannot talk: {0}")]
    Exchange(String),
}

impl ConsensusError {
    /// A stable code, for journals.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OutOfStep(_) => "ranks_out_of_step",
            Self::Timeout { .. } => "rank_timeout",
            Self::Exchange(_) => "rank_exchange",
        }
    }
}

fn list(ranks: &[usize]) -> String {
    ranks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// How the ranks of a run come to one decision.
///
/// A rank in a process of its own needs [`exchange`](Self::exchange) only: what was exchanged is judged alike
/// everywhere.
pub trait Consensus: Send + Debug {
    /// How many ranks decide.
    fn ranks(&self) -> usize;

    /// Which of them this is, from 0.
    fn rank(&self) -> usize;

    /// Gives every rank's message to every rank, in the order of the ranks.
    ///
    /// # Errors
    /// If one does not come in time, or the exchange fails.
    fn exchange(&mut self, message: Vec<u64>) -> Result<Vec<Vec<u64>>, ConsensusError>;

    /// The common verdict on each ballot: the least of all ranks'. One message for all of them.
    ///
    /// # Errors
    /// If the ranks are out of step, or one does not answer in time; then on every rank.
    fn agree(&mut self, ballots: &[Ballot]) -> Result<Vec<bool>, ConsensusError> {
        if self.ranks() <= 1 {
            return Ok(ballots.iter().map(|b| b.verdict).collect());
        }
        let message = ballots.iter().flat_map(|b| b.pack().0).collect();
        let all = self.exchange(message)?;
        judge(ballots, &all)
    }
}

/// The least verdict, if all ranks voted on the same things.
fn judge(ballots: &[Ballot], all: &[Vec<u64>]) -> Result<Vec<bool>, ConsensusError> {
    let read = |message: &Vec<u64>| -> Vec<Packed> {
        message.as_chunks::<WORDS>().0.iter().map(|w| Packed(*w)).collect()
    };
    let all: Vec<Vec<Packed>> = all.iter().map(read).collect();
    let Some(first) = all.first() else { return Ok(ballots.iter().map(|b| b.verdict).collect()) };
    for (rank, votes) in all.iter().enumerate() {
        if votes.len() != first.len() {
            let text = format!("rank 0 votes on {} slots, rank {rank} on {}", first.len(), votes.len());
            return Err(ConsensusError::OutOfStep(text));
        }
    }
    for (index, ballot) in ballots.iter().enumerate() {
        if all.iter().any(|votes| !votes[index].is_about(votes_of(first, index))) {
            let mut text = format!("slot `{}`", ballot.slot);
            for (rank, votes) in all.iter().enumerate() {
                let _ =
                    write!(text, "{} rank {rank} has {}", if rank == 0 { ":" } else { "," }, votes[index]);
            }
            return Err(ConsensusError::OutOfStep(text));
        }
    }
    Ok((0..ballots.len()).map(|index| all.iter().all(|votes| votes[index].verdict())).collect())
}

fn votes_of(votes: &[Packed], index: usize) -> Packed {
    votes.get(index).copied().unwrap_or(Packed([0; WORDS]))
}

/// One rank: what it decides is decided.
#[derive(Debug, Clone, Copy, Default)]
pub struct Solo;

impl Consensus for Solo {
    fn ranks(&self) -> usize {
        1
    }
    fn rank(&self) -> usize {
        0
    }
    fn exchange(&mut self, message: Vec<u64>) -> Result<Vec<Vec<u64>>, ConsensusError> {
        Ok(vec![message])
    }
}
