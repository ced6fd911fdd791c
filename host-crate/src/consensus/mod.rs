//! Votes between the ranks of a run: every transition is made on all ranks or on none.
//!
//! At the end of an epoch each rank sends one [`Ballot`] per slot: the state of the slot, the decision that
//! is due and the rank's verdict. A decision needs the votes of all ranks. Ranks whose states differ are out
//! of step; every rank returns that error, within a time limit, instead of waiting forever. Empty slots are
//! included, so that no rank waits for one that has nothing to decide.

mod ballot;
mod measurements;

pub use ballot::{Action, Ballot};
pub(crate) use measurements::merge;

use crate::model::CommandCode;
use ballot::Packed;
use std::fmt::{Debug, Write as _};
use std::time::Duration;

/// Why the ranks made no decision; nothing has changed on any of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConsensusError {
    /// Their states or their decisions differ.
    #[error("the ranks are out of step: {0}")]
    OutOfStep(String),
    /// Some did not answer in time.
    #[error("no answer from rank {} within {:.1} s", list(missing), waited.as_secs_f64())]
    Timeout {
        /// Ranks that did not answer, from 0.
        missing: Vec<usize>,
        /// Time that this rank has waited.
        waited: Duration,
    },
    /// These ranks cannot carry out the decision; so no rank does.
    #[error("rank {} cannot carry out the decision; no rank has changed anything", list(.0))]
    Unable(Vec<usize>),
    /// Something has failed on a rank, and so every rank undoes it.
    #[error("rank {rank}: {error}")]
    Failed {
        /// The first rank on which it has failed, from 0.
        rank: usize,
        /// What has failed there.
        error: String,
    },
    /// The exchange between ranks failed; holds the transport's message.
    #[error("the exchange between ranks failed: {0}")]
    Exchange(String),
}

impl ConsensusError {
    /// Returns the stable code of the error, for journals.
    pub const fn code(&self) -> CommandCode {
        match self {
            Self::OutOfStep(_) => CommandCode::RanksOutOfStep,
            Self::Timeout { .. } => CommandCode::RankTimeout,
            Self::Unable(_) | Self::Failed { .. } => CommandCode::RankUnable,
            Self::Exchange(_) => CommandCode::RankExchange,
        }
    }
}

fn list(ranks: &[usize]) -> String {
    ranks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// How the ranks of a run agree on one decision.
///
/// A transport implements [`exchange`](Self::exchange), [`ranks`](Self::ranks) and [`rank`](Self::rank);
/// [`agree`](Self::agree) counts the votes the same way on every rank.
pub trait Consensus: Send + Debug {
    /// Returns the number of ranks that decide together.
    fn ranks(&self) -> usize;

    /// Returns the index of this rank, from 0.
    fn rank(&self) -> usize;

    /// Sends this rank's message to all ranks and returns every rank's message, ordered by rank.
    ///
    /// # Errors
    /// If a rank's message does not arrive in time, or the exchange fails.
    fn exchange(&mut self, message: Vec<u64>) -> Result<Vec<Vec<u64>>, ConsensusError>;

    /// Returns the common verdict on each ballot: true if every rank votes for it. Exchanges one message.
    ///
    /// # Errors
    /// If the ranks are out of step, one cannot carry out the decision, or one does not answer in time. Every
    /// rank that answered returns the error.
    fn agree(&mut self, ballots: &[Ballot]) -> Result<Vec<bool>, ConsensusError> {
        if self.ranks() <= 1 {
            return Ok(ballots.iter().map(|b| b.verdict).collect());
        }
        let message = ballots.iter().flat_map(|b| b.pack().0).collect();
        let all = self.exchange(message)?;
        if all.len() != self.ranks() {
            let text = format!("got {} messages from {} ranks", all.len(), self.ranks());
            return Err(ConsensusError::Exchange(text));
        }
        count_votes(ballots, &all)
    }

    /// Returns the numbers of the ranks for which `mine` is false.
    ///
    /// # Errors
    /// If a rank does not answer in time, or its message is damaged.
    fn refusals(&mut self, mine: bool) -> Result<Vec<usize>, ConsensusError> {
        let all = self.exchange(vec![u64::from(mine)])?;
        let refused = all.iter().enumerate().filter(|(_, message)| message.as_slice() != [1]);
        Ok(refused.map(|(rank, _)| rank).collect())
    }

    /// Sends bytes to all ranks and returns every rank's bytes, ordered by rank.
    ///
    /// # Errors
    /// If a rank does not answer in time, or its message is damaged.
    fn exchange_bytes(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, ConsensusError> {
        let words = bytes.chunks(size_of::<u64>()).map(|chunk| {
            let mut word = [0; size_of::<u64>()];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        });
        let message = std::iter::once(bytes.len() as u64).chain(words).collect();
        let all = self.exchange(message)?;
        all.iter().map(|message| unpack(message)).collect()
    }
}

/// Returns the bytes of a message of [`Consensus::exchange_bytes`].
fn unpack(message: &[u64]) -> Result<Vec<u8>, ConsensusError> {
    let damaged = || ConsensusError::Exchange("a message has the wrong length".to_owned());
    let (length, words) = message.split_first().ok_or_else(damaged)?;
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let length = usize::try_from(*length).map_err(|_| damaged())?;
    if length.div_ceil(size_of::<u64>()) != words.len() {
        return Err(damaged());
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// Returns the common verdicts, if all ranks voted on the same decisions and can carry them out.
///
/// All ranks call this with the same messages, so all get the same result.
fn count_votes(ballots: &[Ballot], all: &[Vec<u64>]) -> Result<Vec<bool>, ConsensusError> {
    let all: Vec<Vec<Packed>> = all
        .iter()
        .map(|message| Packed::read(message))
        .collect::<Option<_>>()
        .ok_or_else(|| ConsensusError::Exchange("a message has the wrong length".to_owned()))?;
    let first = all.first().map_or(&[] as &[Packed], Vec::as_slice);
    if let Some((rank, votes)) = all.iter().enumerate().find(|(_, votes)| votes.len() != first.len()) {
        let text = format!("rank 0 votes on {} slots, rank {rank} on {}", first.len(), votes.len());
        return Err(ConsensusError::OutOfStep(text));
    }
    for (index, question) in first.iter().enumerate() {
        let answers: Vec<Packed> = all.iter().filter_map(|votes| votes.get(index).copied()).collect();
        if answers.iter().any(|answer| !answer.is_about(*question)) {
            // The error must be the same on every rank, so it names the slot only if all ranks mean the same.
            let one_slot = answers.iter().all(|answer| answer.slot() == question.slot());
            let slot = ballots.get(index).filter(|_| one_slot).map(|b| format!("slot `{}`", b.slot));
            let mut text = slot.unwrap_or_else(|| "they vote on different slots".to_owned());
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

/// A single rank, whose own verdicts are the decisions.
#[derive(Debug, Clone, Copy, Default)]
pub struct SingleRank;

impl Consensus for SingleRank {
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
