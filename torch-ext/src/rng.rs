//! Saving, forking and restoring torch's default random number generators.
//!
//! A process has one default generator for the CPU and one per CUDA device. Callers draw from them only
//! inside an [`RngFork`] or an [`RngStream`], so that adding a slot, probing a seed or measuring a seed with
//! dropout does not change any other random number of the run.

use crate::error::Result;
use crate::ffi;
use parking_lot::{ReentrantMutex, ReentrantMutexGuard};
use std::time::Duration;
use tch::Tensor;

/// Lock on the generators of the process. A fork holds it until the generators are restored, so that models
/// on different threads never draw from each other's fork.
static GENERATORS: ReentrantMutex<()> = ReentrantMutex::new(());

/// Guard during which no other thread can enter a fork or a stream. The same thread can take it again.
#[derive(Debug)]
#[must_use = "the generators are shared again when this value is dropped"]
pub struct RngLock(#[expect(dead_code, reason = "held, not read")] ReentrantMutexGuard<'static, ()>);

/// Waits until no other thread is inside a fork or a stream.
pub fn lock() -> RngLock {
    RngLock(GENERATORS.lock())
}

/// Waits as [`lock`] does, but returns `None` after `timeout`.
pub(crate) fn try_lock_for(timeout: Duration) -> Option<RngLock> {
    GENERATORS.try_lock_for(timeout).map(RngLock)
}

/// The states of all default generators at one moment.
#[derive(Debug)]
pub struct RngState(Vec<Tensor>);

impl RngState {
    /// Reads the state of every generator. This reads host memory only, without a device sync. Waits until no
    /// other thread is inside a fork.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn save() -> Result<Self> {
        let _alone = lock();
        let mut count = 0;
        // SAFETY: the output pointer is valid.
        ffi::check(unsafe { ffi::kte_rng_count(&raw mut count) })?;
        let mut raw = vec![std::ptr::null_mut(); count];
        // SAFETY: `raw` has room for `count` handles.
        ffi::check(unsafe { ffi::kte_rng_save(raw.as_mut_ptr(), count) })?;
        // SAFETY: each non-null entry is a fresh `at::Tensor*` owned by us.
        Ok(Self(raw.into_iter().filter(|p| !p.is_null()).map(|p| unsafe { Tensor::from_ptr(p) }).collect()))
    }

    /// Sets every generator to its state in `self`. Waits until no other thread is inside a fork.
    ///
    /// # Errors
    /// If libtorch refuses a state.
    pub fn restore(&self) -> Result<()> {
        let _alone = lock();
        let handles = ffi::handles(&self.0);
        // SAFETY: the handles are live for the call and `n` is their number.
        ffi::check(unsafe { ffi::kte_rng_restore(handles.as_ptr(), handles.len()) })
    }

    /// Returns the state of each generator by name: `cpu`, then `cuda0`, `cuda1`, ...
    ///
    /// # Shapes
    /// One-dimensional byte tensors.
    pub fn named(&self) -> impl Iterator<Item = (String, &Tensor)> {
        let name = |index: usize| if index == 0 { "cpu".to_owned() } else { format!("cuda{}", index - 1) };
        self.0.iter().enumerate().map(move |(index, state)| (name(index), state))
    }

    /// Whether a name, as [`named`](Self::named) returns it, is that of a GPU's generator.
    pub fn is_of_gpu(name: &str) -> bool {
        name.strip_prefix("cuda").is_some_and(|index| index.parse::<usize>().is_ok())
    }

    /// Returns a copy in which each generator has the state that `given` returns for its name, if any.
    ///
    /// # Shapes
    /// Those of [`named`](Self::named).
    #[must_use]
    pub fn replaced(&self, mut given: impl FnMut(&str) -> Option<Tensor>) -> Self {
        let states = self.named().map(|(name, state)| given(&name).unwrap_or_else(|| state.copy()));
        Self(states.collect())
    }

    /// Whether both states produce the same random numbers.
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| a.equal(b))
    }
}

/// Seeds every default generator. Waits until no other thread is inside a fork.
///
/// # Errors
/// If libtorch refuses.
pub fn seed_all(seed: u64) -> Result<()> {
    let _alone = lock();
    // SAFETY: no pointers are passed.
    ffi::check(unsafe { ffi::kte_rng_seed(seed) })
}

/// Scope with its own random numbers: the generators are saved on entry and restored on drop, also after a
/// panic.
#[derive(Debug)]
#[must_use = "the fork ends, and the generators return, when this value is dropped"]
pub struct RngFork {
    outside: RngState,
    // Fields drop after `drop`, so the lock is released after the generators are restored.
    _lock: RngLock,
}

impl RngFork {
    /// Saves all generators and seeds them with `seed` until the value is dropped.
    ///
    /// # Errors
    /// If libtorch refuses; then the generators are unchanged.
    pub fn seeded(seed: u64) -> Result<Self> {
        let fork = Self::here()?;
        seed_all(seed)?;
        Ok(fork)
    }

    /// Saves all generators, and leaves them in their current state, until the value is dropped.
    ///
    /// # Errors
    /// If libtorch refuses; then the generators are unchanged.
    pub fn here() -> Result<Self> {
        let lock = lock();
        Ok(Self { outside: RngState::save()?, _lock: lock })
    }
}

impl Drop for RngFork {
    fn drop(&mut self) {
        // libtorch accepts states that it returned itself; a failure could not be handled here.
        let _ = self.outside.restore();
    }
}

/// A private stream of random numbers. Each use continues where the previous one stopped.
///
/// Stochastic seeds run on one, so their dropout masks neither consume the host's random numbers nor depend
/// on them.
#[derive(Debug)]
pub struct RngStream {
    inside: RngState,
}

impl RngStream {
    /// Creates a stream that starts from `seed`.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn new(seed: u64) -> Result<Self> {
        let _fork = RngFork::seeded(seed)?;
        Ok(Self { inside: RngState::save()? })
    }

    /// Returns a copy of the stream, which produces the same numbers from its current position.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { inside: RngState(self.inside.0.iter().map(Tensor::copy).collect()) }
    }

    /// Returns the states of the generators at the stream's current position.
    pub fn state(&self) -> &RngState {
        &self.inside
    }

    /// Creates a stream that continues from `state`.
    pub fn at(state: RngState) -> Self {
        Self { inside: state }
    }

    /// Runs `body` with this stream's random numbers. The process's generators are restored, also if `body`
    /// panics.
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

/// Returns a seed derived from the run's seed and a path of names, by FNV-1a and a finaliser.
///
/// The result must be the same on all platforms and in all releases: initial weights depend on it.
pub fn derive_seed(run: u64, path: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ run;
    for part in path {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    // The finaliser of SplitMix64, so that adjacent run seeds give unrelated streams.
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
