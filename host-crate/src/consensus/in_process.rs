//! Ranks that are threads of one process: for tests of everything above the wire.

use super::{Consensus, ConsensusError};
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
    /// What each rank has brought to this round.
    brought: Vec<Option<Vec<u64>>>,
    /// What the newest full round amounted to, and how many have yet to take it.
    full: Option<(Arc<Vec<Vec<u64>>>, usize)>,
    /// Once a rank was given up, there is no common ground to go on from.
    broken: Option<ConsensusError>,
}

impl InProcess {
    /// That many ranks, to be given to as many threads.
    pub fn ranks(count: usize, timeout: Duration) -> Vec<Self> {
        let round = Round { brought: vec![None; count], full: None, broken: None };
        let table = Arc::new(Table { round: Mutex::new(round), changed: Condvar::new() });
        (0..count).map(|rank| Self { rank, timeout, table: Arc::clone(&table) }).collect()
    }
}

impl Table {
    fn round(&self) -> MutexGuard<'_, Round> {
        // A rank that panicked while it held the lock left whole values behind.
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `ready` gives something, the round breaks, or the time is over.
    fn wait<T>(
        &self,
        deadline: Instant,
        waited: Duration,
        mut ready: impl FnMut(&mut Round) -> Option<T>,
    ) -> Result<T, ConsensusError> {
        let mut round = self.round();
        loop {
            if let Some(error) = &round.broken {
                return Err(error.clone());
            }
            if let Some(value) = ready(&mut round) {
                self.changed.notify_all();
                return Ok(value);
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|d| !d.is_zero()) else {
                let absent = |(rank, b): (usize, &Option<Vec<u64>>)| b.is_none().then_some(rank);
                let missing = round.brought.iter().enumerate().filter_map(absent).collect();
                let error = ConsensusError::Timeout { missing, waited };
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
        self.table.round().brought.len()
    }

    fn rank(&self) -> usize {
        self.rank
    }

    fn exchange(&mut self, message: Vec<u64>) -> Result<Vec<Vec<u64>>, ConsensusError> {
        let deadline = Instant::now() + self.timeout;
        let mut message = Some(message);
        // A fast rank may be here again before a slow one has taken the last round's result.
        self.table.wait(deadline, self.timeout, |round| {
            if round.full.is_some() {
                return None;
            }
            let place = round.brought.get_mut(self.rank)?;
            *place = message.take();
            if round.brought.iter().all(Option::is_some) {
                let all: Vec<Vec<u64>> = round.brought.iter_mut().filter_map(Option::take).collect();
                let readers = all.len();
                round.full = Some((Arc::new(all), readers));
            }
            Some(())
        })?;
        self.table.wait(deadline, self.timeout, |round| {
            let (all, readers) = round.full.as_mut()?;
            let all = Arc::clone(all);
            *readers -= 1;
            if *readers == 0 {
                round.full = None;
            }
            Some(Vec::clone(&all))
        })
    }
}
