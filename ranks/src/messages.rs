//! Messages that all ranks exchange, one round after another.

use crate::error::RanksError;
use crate::link::Link;
use kasmina::consensus::ConsensusError;
use std::sync::Arc;
use std::time::Instant;

/// Longest message in bytes; libtorch's store accepts 8 MiB.
const LONGEST: usize = 4 << 20;

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
        let (mut all, mut missing, begun) = (Vec::with_capacity(size), Vec::new(), Instant::now());
        for other in 0..size {
            match self.link.take(&self.key(self.round, other), begun)? {
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

    /// Returns the bytes of rank 0, which may be many; the other ranks pass none.
    ///
    /// # Errors
    /// If a rank is lost or late.
    pub fn bytes_from_first(&mut self, bytes: &[u8]) -> Result<Vec<u8>, RanksError> {
        let length = self.from_first(&(bytes.len() as u64).to_le_bytes())?;
        let damaged = || RanksError::Transfer("a message has the wrong length".to_owned());
        let length = u64::from_le_bytes(length.try_into().map_err(|_| damaged())?);
        let length = usize::try_from(length).map_err(|_| damaged())?;
        let (mut chunks, mut all) = (bytes.chunks(LONGEST), Vec::new());
        while all.len() < length {
            let chunk = self.from_first(chunks.next().unwrap_or_default())?;
            if chunk.is_empty() || chunk.len() > length - all.len() {
                return Err(damaged());
            }
            all.extend(chunk);
        }
        Ok(all)
    }

    fn key(&self, round: u64, rank: usize) -> String {
        format!("{}/{round}/{rank}", self.name)
    }
}
