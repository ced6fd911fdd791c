//! CUDA graphs: a sequence of kernels captured once and launched as one.
//!
//! A captured kernel reads and writes the addresses that it was captured with. So inputs, parameters and
//! every number that changes between replays must be in tensors that keep their memory. What the host
//! computes during a capture is not repeated by a replay.

use super::index;
use super::library::{Symbols, library};
use crate::error::{Error, Result};
use crate::rng;
use parking_lot::{ReentrantMutex, RwLock, RwLockReadGuard};
use std::ffi::c_void;
use std::time::Duration;
use tch::Device;

/// Held during a capture, because torch's allocator and generators support one capture at a time in a
/// process. Also held while a graph is destroyed, because generators keep a list of graphs. Replays need no
/// lock.
static CAPTURES: ReentrantMutex<()> = ReentrantMutex::new(());

/// How long a capture waits for other threads to finish a backward pass or a fork of the generators.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Excludes backward passes of other threads during a capture. All models of a process share torch's one
/// backward thread per device, and that thread's cuDNN handle. When it changes from one model's stream to
/// another's, cuDNN records an event on the stream that it leaves. If that stream were being captured, the
/// event would become part of the capture or invalidate it.
static BACKWARD: RwLock<()> = RwLock::new(());

/// Guard during which no capture begins; see [`backward`].
#[derive(Debug)]
#[must_use = "captures may begin when this value is dropped"]
pub struct Backward(#[expect(dead_code, reason = "held, not read")] RwLockReadGuard<'static, ()>);

/// Returns a guard that must be held during a backward pass on a GPU that is not itself captured, if another
/// thread may be capturing. Any number of threads can hold one at once. Waits for a running capture, which
/// takes milliseconds. Take it before a fork of the generators, never inside one.
pub fn backward() -> Backward {
    Backward(BACKWARD.read_recursive())
}

/// Memory pool for the temporaries of graphs. Graphs that share a pool must not run at the same time, and the
/// results of one must be read before another runs.
#[derive(Debug)]
pub struct Pool {
    library: &'static Symbols,
    pool: *mut c_void,
}

// SAFETY: it is an immutable identifier of a memory pool.
unsafe impl Send for Pool {}

impl Pool {
    /// Creates an unused pool.
    ///
    /// # Errors
    /// If the GPU half cannot be opened.
    pub fn new() -> Result<Self> {
        let (library, mut pool) = (library()?, std::ptr::null_mut());
        // SAFETY: the output pointer is valid.
        library.check(unsafe { (library.pool_new)(&raw mut pool) })?;
        Ok(Self { library, pool })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: made by `pool_new` and not used again; the memory belongs to the graphs.
        unsafe { (self.library.pool_free)(self.pool) }
    }
}

/// A captured sequence of kernels.
#[derive(Debug)]
pub struct Graph {
    library: &'static Symbols,
    graph: *mut c_void,
}

// SAFETY: any thread may launch a graph, but only one at a time: `replay` takes `&mut`.
unsafe impl Send for Graph {}

/// Why a capture failed.
#[derive(Debug)]
pub enum NotCaptured<E> {
    /// The captured function failed with its own error.
    Body(E),
    /// The captured function did something that cannot be captured, or CUDA refused.
    Capture(Error),
}

impl Graph {
    /// Captures the work that `body` queues on this thread's current stream, which must not be the default
    /// stream. None of it runs. `body` must have run once without a capture, because libraries do work at
    /// their first use that cannot be captured.
    ///
    /// # Errors
    /// The error of `body`, or why the capture failed. The device is in its previous state then.
    pub fn capture<T, E>(
        device: Device,
        pool: &Pool,
        body: impl FnOnce() -> std::result::Result<T, E>,
    ) -> std::result::Result<(Self, T), NotCaptured<E>> {
        let refused = NotCaptured::Capture;
        let library = library().map_err(refused)?;
        let device = index(device).map_err(refused)?;
        let _alone = CAPTURES.lock();
        // A thread may hold one of these locks while it waits for this capture, so waiting without a limit
        // could deadlock.
        let busy = || {
            let text = format!("another thread's backward pass or fork did not end within {TIMEOUT:?}");
            NotCaptured::Capture(Error::Torch(text))
        };
        let _backward = BACKWARD.try_write_for(TIMEOUT).ok_or_else(busy)?;
        // A capture counts the random numbers it draws, so no other thread may fork the generators.
        let _generators = rng::try_lock_for(TIMEOUT).ok_or_else(busy)?;
        let mut graph = std::ptr::null_mut();
        // SAFETY: the pool is live and the output pointer is valid.
        let begun = unsafe { (library.graph_begin)(device, pool.pool, &raw mut graph) };
        library.check(begun).map_err(refused)?;
        let captured = Self { library, graph };
        let result = body();
        // SAFETY: begun above, on this thread.
        let ended = library.check(unsafe { (library.graph_end)(graph, pool.pool) });
        // A body that failed explains more than the capture that it broke.
        match (result, ended) {
            (Ok(value), Ok(())) => Ok((captured, value)),
            (Err(error), Ok(())) => Err(NotCaptured::Body(error)),
            (_, Err(error)) => Err(NotCaptured::Capture(error)),
        }
    }

    /// Queues the captured work on this thread's current stream, as one launch.
    ///
    /// # Errors
    /// If CUDA refuses.
    pub fn replay(&mut self) -> Result<()> {
        // SAFETY: the graph is live and its capture has ended.
        self.library.check(unsafe { (self.library.graph_replay)(self.graph) })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        let _alone = CAPTURES.lock();
        // SAFETY: made by `graph_begin` and not used again.
        let _ = self.library.check(unsafe { (self.library.graph_free)(self.graph) });
    }
}
