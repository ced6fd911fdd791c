//! Ranks that are threads of one process, for tests that need no network.

use kasmina::consensus::{Consensus, ConsensusError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One of several ranks of this process.
#[derive(Debug)]
pub struct InProcess {
    rank: usize,
    timeout: Duration,
    table: Arc<Table>,
}

#[derive(Debug)]
struct Table {
    round: Mutex<Round>,
    changed: Condvar,
}

#[derive(Debug)]
struct Round {
    /// Message of each rank in this round, if it has sent one.
    sent: Vec<Option<Vec<u64>>>,
    /// The newest complete round, until every rank has received it.
    full: Option<Full>,
    /// Set when a rank timed out; every later exchange fails with this error.
    broken: Option<ConsensusError>,
}

#[derive(Debug)]
struct Full {
    messages: Arc<Vec<Vec<u64>>>,
    /// Whether each rank has received the messages.
    received: Vec<bool>,
}

impl InProcess {
    /// Returns `count` connected ranks, one for each thread. An exchange fails after `timeout`.
    pub fn ranks(count: usize, timeout: Duration) -> Vec<Self> {
        let round = Round { sent: vec![None; count], full: None, broken: None };
        let table = Arc::new(Table { round: Mutex::new(round), changed: Condvar::new() });
        (0..count).map(|rank| Self { rank, timeout, table: Arc::clone(&table) }).collect()
    }
}

impl Round {
    /// Returns the ranks that the others wait for: those that have not received the last round's messages,
    /// or, if all have, those that have not sent one in this round.
    fn missing(&self) -> Vec<usize> {
        let absent =
            |all: Vec<bool>| all.into_iter().enumerate().filter(|(_, here)| !here).map(|(r, _)| r).collect();
        match &self.full {
            Some(full) => absent(full.received.clone()),
            None => absent(self.sent.iter().map(Option::is_some).collect()),
        }
    }
}

impl Table {
    fn round(&self) -> MutexGuard<'_, Round> {
        // Every change under the lock is complete at once, so a panic leaves consistent values.
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `ready` returns a value, the round is broken, or the deadline passes. `ready` is called
    /// first: a rank may still receive a complete round after another rank broke it.
    fn wait<T>(
        &self,
        deadline: Instant,
        waited: Duration,
        mut ready: impl FnMut(&mut Round) -> Option<T>,
    ) -> Result<T, ConsensusError> {
        let mut round = self.round();
        loop {
            if let Some(value) = ready(&mut round) {
                self.changed.notify_all();
                return Ok(value);
            }
            if let Some(error) = &round.broken {
                return Err(error.clone());
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|d| !d.is_zero()) else {
                let error = ConsensusError::Timeout { missing: round.missing(), waited };
                round.broken = Some(error.clone());
                self.changed.notify_all();
                return Err(error);
            };
            round = self.changed.wait_timeout(round, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Consensus for InProcess {
    fn ranks(&self) -> usize {
        self.table.round().sent.len()
    }

    fn rank(&self) -> usize {
        self.rank
    }

    fn exchange(&mut self, message: Vec<u64>) -> Result<Vec<Vec<u64>>, ConsensusError> {
        let deadline = Instant::now() + self.timeout;
        let mut message = Some(message);
        // A fast rank may begin the next round before a slow one has received the last round's messages.
        self.table.wait(deadline, self.timeout, |round| {
            if round.full.is_some() || round.broken.is_some() {
                return None;
            }
            let place = round.sent.get_mut(self.rank)?;
            *place = message.take();
            if round.sent.iter().all(Option::is_some) {
                let all: Vec<Vec<u64>> = round.sent.iter_mut().filter_map(Option::take).collect();
                let received = vec![false; all.len()];
                round.full = Some(Full { messages: Arc::new(all), received });
            }
            Some(())
        })?;
        self.table.wait(deadline, self.timeout, |round| {
            let full = round.full.as_mut()?;
            let all = Arc::clone(&full.messages);
            *full.received.get_mut(self.rank)? = true;
            if full.received.iter().all(|received| *received) {
                round.full = None;
            }
            Some(Vec::clone(&all))
        })
    }
}
