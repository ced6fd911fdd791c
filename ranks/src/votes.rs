//! Votes of the ranks, through the store.

use crate::error::RanksError;
use crate::link::Link;
use crate::messages::Messages;
use kasmina::consensus::{Consensus, ConsensusError};
use std::sync::Arc;

/// The votes of a run; see [`Consensus`].
#[derive(Debug)]
pub struct Votes {
    messages: Messages,
}

impl Votes {
    /// Creates the votes of a run. There is one of them on each rank.
    pub fn new(link: &Arc<Link>) -> Self {
        Self { messages: Messages::new(link, "votes") }
    }
}

impl Consensus for Votes {
    fn ranks(&self) -> usize {
        self.messages.link().world().size
    }

    fn rank(&self) -> usize {
        self.messages.link().world().rank
    }

    fn exchange(&mut self, message: Vec<u64>) -> Result<Vec<Vec<u64>>, ConsensusError> {
        let bytes: Vec<u8> = message.iter().flat_map(|word| word.to_le_bytes()).collect();
        let all = self.messages.gather(&bytes).map_err(|error| match error {
            RanksError::Votes(error) => error,
            other => ConsensusError::Exchange(other.to_string()),
        })?;
        let words = |bytes: &Vec<u8>| {
            let (words, rest) = bytes.as_chunks::<8>();
            let damaged = || ConsensusError::Exchange("a message has the wrong length".to_owned());
            rest.is_empty()
                .then(|| words.iter().map(|w| u64::from_le_bytes(*w)).collect())
                .ok_or_else(damaged)
        };
        all.iter().map(words).collect()
    }
}
