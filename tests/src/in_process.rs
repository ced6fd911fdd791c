//! Ranks that are threads of one process: for tests of everything above the wire.

use kasmina::consensus::{Consensus, ConsensusError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One of several ranks in this process.
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
    /// What each rank has given to this round.
    given: Vec<Option<Vec<u64>>>,
    /// The newest full round, until every rank has taken it.
    full: Option<Full>,
    /// Once a rank was given up, there is no common ground to go on from.
    broken: Option<ConsensusError>,
}

#[derive(Debug)]
struct Full {
    messages: Arc<Vec<Vec<u64>>>,
    /// Whether each rank has taken the messages.
    taken: Vec<bool>,
}

impl InProcess {
    /// That many ranks, to be given to as many threads.
    pub fn ranks(count: usize, timeout: Duration) -> Vec<Self> {
        let round = Round { given: vec![None; count], full: None, broken: None };
        let table = Arc::new(Table { round: Mutex::new(round), changed: Condvar::new() });
        (0..count).map(|rank| Self { rank, timeout, table: Arc::clone(&table) }).collect()
    }
}

impl Round {
    /// The ranks that everybody waits for: those that have not taken the last round's result, or else those
    /// that have given nothing to this one.
    fn missing(&self) -> Vec<usize> {
        let absent =
            |all: Vec<bool>| all.into_iter().enumerate().filter(|(_, here)| !here).map(|(r, _)| r).collect();
        match &self.full {
            Some(full) => absent(full.taken.clone()),
            None => absent(self.given.iter().map(Option::is_some).collect()),
        }
    }
}

impl Table {
    fn round(&self) -> MutexGuard<'_, Round> {
        // A rank that panicked while it held the lock left whole values behind.
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `ready` gives something, the round is broken, or the time is over. A round that became
    /// full is decided for whoever has yet to take it, also if it is broken since.
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
        self.table.round().given.len()
    }

    fn rank(&self) -> usize {
        self.rank
    }

    fn exchange(&mut self, message: Vec<u64>) -> Result<Vec<Vec<u64>>, ConsensusError> {
        let deadline = Instant::now() + self.timeout;
        let mut message = Some(message);
        // A fast rank may be here again before a slow one has taken the last round's result.
        self.table.wait(deadline, self.timeout, |round| {
            if round.full.is_some() || round.broken.is_some() {
                return None;
            }
            let place = round.given.get_mut(self.rank)?;
            *place = message.take();
            if round.given.iter().all(Option::is_some) {
                let all: Vec<Vec<u64>> = round.given.iter_mut().filter_map(Option::take).collect();
                let taken = vec![false; all.len()];
                round.full = Some(Full { messages: Arc::new(all), taken });
            }
            Some(())
        })?;
        self.table.wait(deadline, self.timeout, |round| {
            let full = round.full.as_mut()?;
            let all = Arc::clone(&full.messages);
            *full.taken.get_mut(self.rank)? = true;
            if full.taken.iter().all(|t| *t) {
                round.full = None;
            }
            Some(Vec::clone(&all))
        })
    }
}
