//! Messages that all ranks exchange, one round after another.

use crate::error::RanksError;
use crate::link::Link;
use kasmina::consensus::ConsensusError;
use std::sync::Arc;

/// Rounds of messages under one name. Every rank takes part in every round.
#[derive(Debug)]
pub struct Messages {
    link: Arc<Link>,
    name: &'static str,
    round: u64,
}

impl Messages {
    /// Creates the messages under a name, which is unique in the run.
    pub fn new(link: &Arc<Link>, name: &'static str) -> Self {
        Self { link: Arc::clone(link), name, round: 0 }
    }

    /// Returns the connection with the other ranks.
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Sends a message to all ranks and returns every rank's message, ordered by rank.
    ///
    /// # Errors
    /// If a rank is lost or late.
    pub fn gather(&mut self, message: &[u8]) -> Result<Vec<Vec<u8>>, RanksError> {
        let (rank, size) = (self.link.world().rank, self.link.world().size);
        self.link.put(&self.key(self.round, rank), message)?;
        let (mut all, mut missing) = (Vec::with_capacity(size), Vec::new());
        for other in 0..size {
            match self.link.take(&self.key(self.round, other))? {
                Some(message) => all.push(message),
                None => missing.push(other),
            }
        }
        if !missing.is_empty() {
            let waited = self.link.limit();
            return Err(ConsensusError::Timeout { missing, waited }.into());
        }
        // All ranks have begun this round, so they have read everything of the round before the last.
        if let Some(old) = self.round.checked_sub(1) {
            self.link.remove(&self.key(old, rank));
        }
        self.round += 1;
        Ok(all)
    }

    /// Returns the message of rank 0; those of the other ranks are not used.
    ///
    /// # Errors
    /// If a rank is lost or late.
    pub fn from_first(&mut self, message: &[u8]) -> Result<Vec<u8>, RanksError> {
        Ok(self.gather(message)?.swap_remove(0))
    }

    fn key(&self, round: u64, rank: usize) -> String {
        format!("{}/{round}/{rank}", self.name)
    }
}
