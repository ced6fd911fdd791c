//! The connection of a rank with the others of its run.

use crate::error::RanksError;
use crate::peer::Peer;
use crate::watch::{Loss, Signs, Watch};
use crate::world::{Rendezvous, World};
use kasmina_torch_ext::ranks::{Collective, Group, Store};
use parking_lot::Mutex;
use std::net::ToSocketAddrs as _;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tch::Device;

/// Time between two looks at a value that another rank is to write.
const PAUSES: [Duration; 3] =
    [Duration::from_micros(100), Duration::from_millis(1), Duration::from_millis(5)];
/// Longest time that a rank serves the store after it has failed.
const FAREWELL: Duration = Duration::from_secs(5);
/// Shortest time that ranks have to start, which takes longer than a step.
const START: Duration = Duration::from_mins(1);

/// The connection of a rank with the others of its run.
#[derive(Debug)]
pub struct Link {
    world: World,
    meet: Rendezvous,
    store: Mutex<Store>,
    peers: Vec<Peer>,
    signs: Arc<Signs>,
    limit: Duration,
    _watch: Watch,
}

impl Link {
    /// Connects this rank with all others, which call this at the same time. `limit` is the longest time that
    /// a rank may be silent or late.
    ///
    /// # Errors
    /// If the store is not reached, or not all ranks start in time, with the same number of ranks.
    pub fn join(world: &World, limit: Duration) -> Result<Option<Arc<Self>>, RanksError> {
        let Some(meet) = world.rendezvous.clone() else { return Ok(None) };
        let refused = |reason: String| RanksError::Store {
            rank: world.rank,
            host: meet.host.clone(),
            port: meet.port,
            serves: meet.serves,
            reason,
        };
        let start = limit.max(START);
        let mut store = Store::connect(&meet.host, meet.port, meet.serves, &meet.prefix, start)
            .map_err(|error| refused(brief(&error)))?;
        let me = Peer {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            process: std::process::id(),
            size: world.size,
        };
        let text = serde_json::to_vec(&me).map_err(|error| refused(error.to_string()))?;
        let failed = |error: kasmina_torch_ext::Error| refused(brief(&error));
        store.set(&Peer::key(world.rank), &text).map_err(failed)?;
        let peers = introduce(&store, world, start).inspect_err(|_| {
            // The others learn the same from this rank's introduction, if the store lives long enough.
            if meet.serves {
                wait_for_introductions(&store, world.size);
            }
        })?;
        let signs = Arc::new(Signs::new(world.size, world.rank, limit));
        store.set_limit(limit);
        let watch = Watch::start(store.another().map_err(failed)?, world.rank, &signs)
            .map_err(|error| refused(error.to_string()))?;
        Ok(Some(Arc::new(Self {
            world: world.clone(),
            store: Mutex::new(store),
            peers,
            signs,
            limit,
            _watch: watch,
            meet,
        })))
    }

    /// Returns the ranks of the run, and which one this is.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Returns the longest time that a rank may be silent or late.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Connects the ranks for sums of tensors on a device. `ordered` adds in the order of the ranks.
    ///
    /// # Errors
    /// If not all ranks call this in time.
    pub fn collective(&self, device: Device, ordered: bool) -> Result<Collective, RanksError> {
        let host = self.own_address();
        let group = Group {
            rank: self.world.rank,
            size: self.world.size,
            device,
            host: host.as_deref(),
            timeout: self.limit,
            ordered,
        };
        let collective = Collective::connect(&self.store.lock(), &group).map_err(|e| self.explain(&e))?;
        self.signs.guard(&collective);
        Ok(collective)
    }

    /// Returns the address to listen on if all ranks are on this machine.
    fn own_address(&self) -> Option<String> {
        let mut found = (self.meet.host.as_str(), self.meet.port).to_socket_addrs().ok()?;
        found.find(|address| address.ip().is_loopback()).map(|address| address.ip().to_string())
    }

    /// Sets the number of training steps of this rank; other ranks name it if this rank is late.
    pub fn report(&self, step: u64) {
        self.signs.set_step(step);
    }

    /// Returns an error if a rank is lost.
    ///
    /// # Errors
    /// The rank, and what is known about it.
    pub fn check(&self) -> Result<(), RanksError> {
        self.signs.loss().map_or(Ok(()), |loss| Err(self.lost(loss.clone())))
    }

    /// Returns why a transfer has failed: a rank that is lost or late, if there is one. Waits a few seconds
    /// for its signs of life.
    pub fn explain(&self, error: &dyn std::fmt::Display) -> RanksError {
        match self.signs.explain() {
            Some(loss) => self.lost(loss),
            None => RanksError::Transfer(error.to_string()),
        }
    }

    fn lost(&self, loss: Loss) -> RanksError {
        match loss {
            Loss::Rank { rank, what } => RanksError::Lost { rank, host: self.host(rank), what },
            Loss::Store { reason } => {
                let Rendezvous { host, port, server, .. } = self.meet.clone();
                RanksError::StoreLost { host, port, server, reason }
            }
        }
    }

    /// Returns the name of a rank's machine.
    pub(crate) fn host(&self, rank: usize) -> String {
        self.peers.get(rank).map_or_else(|| "an unknown machine".to_owned(), |peer| peer.host.clone())
    }

    /// Tells the other ranks why this one ends, so that they end too. The rank that serves the store gives
    /// them a few seconds to read it.
    pub fn fail(&self, why: &str) {
        // If the store is gone, the others notice by themselves.
        let _ = self.store.lock().set(&Peer::gone(self.world.rank), why.as_bytes());
        self.serve_until_all_have_ended(FAREWELL.min(self.limit));
    }

    /// Leaves the run after everything is done. The rank that serves the store waits until all others have
    /// left.
    pub fn leave(&self) {
        let _ = self.store.lock().set(&Peer::left(self.world.rank), b"");
        self.serve_until_all_have_ended(self.limit);
    }

    /// Waits until all ranks have left or failed, if this one serves the store.
    fn serve_until_all_have_ended(&self, longest: Duration) {
        if !self.meet.serves {
            return;
        }
        let (store, begun) = (self.store.lock(), Instant::now());
        let ended = |key: String| store.contains(&key).unwrap_or(true);
        let all = || (0..self.world.size).all(|rank| ended(Peer::left(rank)) || ended(Peer::gone(rank)));
        while !all() && begun.elapsed() < longest {
            std::thread::sleep(PAUSES[2]);
        }
    }

    /// Writes a value for the other ranks.
    pub(crate) fn put(&self, key: &str, value: &[u8]) -> Result<(), RanksError> {
        self.store.lock().set(key, value).map_err(|error| self.explain(&error))
    }

    /// Waits for the value that another rank writes; `None` if it does not within the limit since `begun`.
    pub(crate) fn take(&self, key: &str, begun: Instant) -> Result<Option<Vec<u8>>, RanksError> {
        loop {
            if self.store.lock().contains(key).map_err(|error| self.explain(&error))? {
                let value = self.store.lock().get(key, self.limit);
                return value.map(Some).map_err(|error| self.explain(&error));
            }
            self.check()?;
            let waited = begun.elapsed();
            if waited > self.limit {
                return Ok(None);
            }
            std::thread::sleep(pause(waited));
        }
    }

    /// Removes a value that no rank reads any more.
    pub(crate) fn remove(&self, key: &str) {
        let _ = self.store.lock().remove(key);
    }
}

/// Returns the time until the next look, which is longer the longer a rank has waited.
fn pause(waited: Duration) -> Duration {
    let index = if waited < 20 * PAUSES[1] { 0 } else { 1 + usize::from(waited > Duration::from_secs(1)) };
    PAUSES[index]
}

/// Waits until all ranks have introduced themselves.
fn introduce(store: &Store, world: &World, limit: Duration) -> Result<Vec<Peer>, RanksError> {
    let begun = Instant::now();
    let failed = |error: kasmina_torch_ext::Error| RanksError::Transfer(brief(&error));
    let mut peers: Vec<Option<Peer>> = (0..world.size).map(|_| None).collect();
    loop {
        for (rank, peer) in peers.iter_mut().enumerate().filter(|(_, peer)| peer.is_none()) {
            if store.contains(&Peer::key(rank)).map_err(failed)? {
                let bytes = store.get(&Peer::key(rank), limit).map_err(failed)?;
                let read = serde_json::from_slice(&bytes);
                *peer = Some(read.map_err(|error| RanksError::Transfer(error.to_string()))?);
            }
        }
        if let Some(error) = other_size(&peers) {
            return Err(error);
        }
        let missing: Vec<usize> = (0..world.size).filter(|rank| peers[*rank].is_none()).collect();
        if missing.is_empty() {
            return Ok(peers.into_iter().flatten().collect());
        }
        let waited = begun.elapsed();
        if waited > limit {
            return Err(RanksError::Absent { missing, size: world.size, waited });
        }
        std::thread::sleep(PAUSES[2]);
    }
}

/// Waits a few seconds until all ranks have introduced themselves, and have read the other introductions.
fn wait_for_introductions(store: &Store, size: usize) {
    let begun = Instant::now();
    let all = || (0..size).all(|rank| store.contains(&Peer::key(rank)).unwrap_or(true));
    while !all() && begun.elapsed() < FAREWELL {
        std::thread::sleep(PAUSES[2]);
    }
    std::thread::sleep(50 * PAUSES[2]);
}

/// Returns the error of a rank that was started for another number of ranks than rank 0.
fn other_size(peers: &[Option<Peer>]) -> Option<RanksError> {
    let first = peers.first()?.as_ref()?;
    let other = |peer: &&Peer| peer.size != first.size;
    let (rank, peer) =
        peers.iter().enumerate().find_map(|(rank, peer)| Some((rank, peer.as_ref().filter(other)?)))?;
    Some(RanksError::Differs {
        rank,
        host: peer.host.clone(),
        what: "the number of ranks".to_owned(),
        theirs: peer.size.to_string(),
        first: first.size.to_string(),
    })
}

/// Returns an error's text without the addresses of libtorch's stack.
fn brief(error: &kasmina_torch_ext::Error) -> String {
    let text = error.to_string();
    let end = text.find("Exception raised from").unwrap_or(text.len());
    text[..end].trim().to_owned()
}
