//! torch's default generators: saved, forked, restored.
//!
//! A process has one default generator for the CPU and one per CUDA device. Nothing above this module draws
//! from them outside an [`RngFork`] or an [`RngStream`], so that adding a slot, probing a seed or measuring a
//! dropout seed leaves every other random number of the run where it was.

use crate::error::Result;
use crate::ffi;
use parking_lot::{ReentrantMutex, ReentrantMutexGuard};
use std::time::Duration;
use tch::Tensor;

/// The generators belong to the whole process: whoever forks them holds this lock until they are restored, so
/// that two models on two threads never draw from each other's fork.
static GENERATORS: ReentrantMutex<()> = ReentrantMutex::new(());

/// Keeps every other thread out of forks and streams while it lives. A thread may take it again.
#[derive(Debug)]
#[must_use = "the generators are shared again when this value is dropped"]
pub struct RngLock(#[expect(dead_code, reason = "held, not read")] ReentrantMutexGuard<'static, ()>);

/// Waits until no other thread is inside a fork or a stream.
pub fn lock() -> RngLock {
    RngLock(GENERATORS.lock())
}

/// The same, for so long at most.
pub(crate) fn try_lock_for(patience: Duration) -> Option<RngLock> {
    GENERATORS.try_lock_for(patience).map(RngLock)
}

/// The states of all default generators at one moment.
#[derive(Debug)]
pub struct RngState(Vec<Tensor>);

impl RngState {
    /// Reads every generator's state; host memory only, no device sync.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn save() -> Result<Self> {
        let mut count = 0;
        // SAFETY: the place is valid.
        ffi::check(unsafe { ffi::kte_rng_count(&raw mut count) })?;
        let mut raw = vec![std::ptr::null_mut(); count];
        // SAFETY: `raw` has room for `count` handles.
        ffi::check(unsafe { ffi::kte_rng_save(raw.as_mut_ptr(), count) })?;
        // SAFETY: each non-null entry is a fresh `at::Tensor*` owned by us.
        Ok(Self(raw.into_iter().filter(|p| !p.is_null()).map(|p| unsafe { Tensor::from_ptr(p) }).collect()))
    }

    /// Puts every generator back.
    ///
    /// # Errors
    /// If libtorch refuses a state.
    pub fn restore(&self) -> Result<()> {
        let handles = ffi::handles(&self.0);
        // SAFETY: the handles are live for the call and `n` is their number.
        ffi::check(unsafe { ffi::kte_rng_restore(handles.as_ptr(), handles.len()) })
    }

    /// The state of each generator by its name: `cpu`, then `cuda0` and so on.
    pub fn named(&self) -> impl Iterator<Item = (String, &Tensor)> {
        let name = |index: usize| if index == 0 { "cpu".to_owned() } else { format!("cuda{}", index - 1) };
        self.0.iter().enumerate().map(move |(index, state)| (name(index), state))
    }

    /// Whether a name is one of a GPU's generator, as [`named`](Self::named) has them.
    pub fn is_of_gpu(name: &str) -> bool {
        name.strip_prefix("cuda").is_some_and(|index| index.parse::<usize>().is_ok())
    }

    /// The same with the states that are given for some of the names; the other generators keep theirs.
    #[must_use]
    pub fn replaced(&self, mut given: impl FnMut(&str) -> Option<Tensor>) -> Self {
        let states = self.named().map(|(name, state)| given(&name).unwrap_or_else(|| state.copy()));
        Self(states.collect())
    }

    /// Whether both describe generators that would draw the same numbers.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| a.equal(b))
    }
}

/// Seeds every default generator, once no other thread is inside a fork.
///
/// # Errors
/// If libtorch refuses.
pub fn seed_all(seed: u64) -> Result<()> {
    let _alone = lock();
    // SAFETY: no pointers are passed.
    ffi::check(unsafe { ffi::kte_rng_seed(seed) })
}

/// A scope with generators of its own: saved and seeded on entry, restored on every way out.
#[derive(Debug)]
#[must_use = "the fork ends, and the generators return, when this value is dropped"]
pub struct RngFork {
    outside: RngState,
    // Dropped after the generators are back.
    _lock: RngLock,
}

impl RngFork {
    /// Saves all generators and seeds them with `seed` until the value is dropped.
    ///
    /// # Errors
    /// If libtorch refuses; then nothing has changed.
    pub fn seeded(seed: u64) -> Result<Self> {
        let fork = Self::here()?;
        seed_all(seed)?;
        Ok(fork)
    }

    /// Saves all generators and goes on from where they are until the value is dropped.
    ///
    /// # Errors
    /// If libtorch refuses; then nothing has changed.
    pub fn here() -> Result<Self> {
        let lock = lock();
        Ok(Self { outside: RngState::save()?, _lock: lock })
    }
}

impl Drop for RngFork {
    fn drop(&mut self) {
        // Restoring a state that libtorch itself gave out cannot be refused; nothing could be done if it
        // were.
        let _ = self.outside.restore();
    }
}

/// A private stream of random numbers that can be entered again and again and goes on where it stopped.
///
/// Stochastic seeds run on one: their dropout masks neither consume nor follow the host's random numbers.
#[derive(Debug)]
pub struct RngStream {
    inside: RngState,
}

impl RngStream {
    /// A stream that starts from `seed`.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn new(seed: u64) -> Result<Self> {
        let _fork = RngFork::seeded(seed)?;
        Ok(Self { inside: RngState::save()? })
    }

    /// Where the stream stands: running it on from there gives the same numbers again.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { inside: RngState(self.inside.0.iter().map(Tensor::copy).collect()) }
    }

    /// The generators' states where the stream stands.
    pub fn state(&self) -> &RngState {
        &self.inside
    }

    /// A stream that goes on from generators' states.
    pub fn at(state: RngState) -> Self {
        Self { inside: state }
    }

    /// Runs `body` on this stream; the generators outside are untouched, also if `body` panics.
    ///
    /// # Errors
    /// If a state cannot be read or set.
    pub fn run<T>(&mut self, body: impl FnOnce() -> T) -> Result<T> {
        let outside = RngFork::here()?;
        self.inside.restore()?;
        let value = body();
        self.inside = RngState::save()?;
        drop(outside);
        Ok(value)
    }
}

/// A seed for a private stream, from the run's seed and a path of names (FNV-1a, then a finaliser).
///
/// Stable over platforms and releases: initial weights of a slot depend on it.
pub fn derive_seed(run: u64, path: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ run;
    for part in path {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    // The finaliser of SplitMix64: neighbouring run seeds must not give neighbouring streams.
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
