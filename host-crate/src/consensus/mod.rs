//! Several ranks, one structure: every transition is decided by all ranks or by none.
//!
//! At the edge of an epoch each rank says, slot by slot, where it stands, what it asks and what it would
//! decide. The least verdict counts. Ranks that do not even stand in the same place are out of step, and
//! every one of them says so, within a time limit, instead of waiting for ever. Empty slots take part too:
//! leaving them out is how earlier implementations came to wait for a rank that had nothing to say.

mod ballot;

pub use ballot::{Act, Ballot};

use crate::model::CommandCode;
use ballot::Packed;
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
        /// Ranks that did not answer.
        missing: Vec<usize>,
        /// Time that was waited.
        waited: Duration,
    },
    /// A rank cannot do what it has decided; so none does.
    #[error("rank {} cannot do what was decided; nothing is done on any", list(.0))]
    Unable(Vec<usize>),
    /// The exchange between ranks failed; the transport's message.
    #[error("the ranks cannot talk: {0}")]
    Exchange(String),
}

impl ConsensusError {
    /// A stable code, for journals.
    pub const fn code(&self) -> CommandCode {
        match self {
            Self::OutOfStep(_) => CommandCode::RanksOutOfStep,
            Self::Timeout { .. } => CommandCode::RankTimeout,
            Self::Unable(_) => CommandCode::RankUnable,
            Self::Exchange(_) => CommandCode::RankExchange,
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
    /// Number of ranks that decide together.
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
        if all.len() != self.ranks() {
            let text = format!("{} messages came from {} ranks", all.len(), self.ranks());
            return Err(ConsensusError::Exchange(text));
        }
        judge(ballots, &all)
    }
}

/// The least verdict, if all ranks voted on the same things and can do them. All ranks judge the same
/// messages, so all come to the same answer.
fn judge(ballots: &[Ballot], all: &[Vec<u64>]) -> Result<Vec<bool>, ConsensusError> {
    let all: Vec<Vec<Packed>> = all
        .iter()
        .map(|message| Packed::read(message))
        .collect::<Option<_>>()
        .ok_or_else(|| ConsensusError::Exchange("a message is not made of whole ballots".to_owned()))?;
    let first = all.first().map_or(&[] as &[Packed], Vec::as_slice);
    if let Some((rank, votes)) = all.iter().enumerate().find(|(_, votes)| votes.len() != first.len()) {
        let text = format!("rank 0 votes on {} slots, rank {rank} on {}", first.len(), votes.len());
        return Err(ConsensusError::OutOfStep(text));
    }
    for (index, question) in first.iter().enumerate() {
        let answers: Vec<Packed> = all.iter().filter_map(|votes| votes.get(index).copied()).collect();
        if answers.iter().any(|answer| !answer.is_about(*question)) {
            // Every rank tells it in the same words: a name only if it is the same everywhere.
            let one_slot = answers.iter().all(|answer| answer.slot() == question.slot());
            let slot = ballots.get(index).filter(|_| one_slot).map(|b| format!("slot `{}`", b.slot));
            let mut text = slot.unwrap_or_else(|| "they ask of different slots".to_owned());
            for (rank, answer) in answers.iter().enumerate() {
                let _ = write!(text, "{} rank {rank} has {answer}", if rank == 0 { ":" } else { "," });
            }
            return Err(ConsensusError::OutOfStep(text));
        }
    }
    let unable = |votes: &Vec<Packed>| votes.iter().any(|vote| !vote.able());
    let unable: Vec<usize> =
        all.iter().enumerate().filter(|(_, v)| unable(v)).map(|(rank, _)| rank).collect();
    if !unable.is_empty() {
        return Err(ConsensusError::Unable(unable));
    }
    let agreed = |index: usize| all.iter().all(|votes| votes.get(index).is_some_and(|vote| vote.verdict()));
    Ok((0..first.len()).map(agreed).collect())
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
