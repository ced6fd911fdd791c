//! CUDA graphs: a sequence of kernels recorded once and launched as one.
//!
//! What is recorded reads and writes the memory that it saw while it was recorded. So inputs, parameters and
//! every number that changes between replays must lie in tensors that stay where they are, and what the host
//! does in between is not repeated.

use super::index;
use super::library::{Symbols, library};
use crate::error::{Error, Result};
use crate::rng;
use parking_lot::{ReentrantMutex, RwLock, RwLockReadGuard};
use std::ffi::c_void;
use std::time::Duration;
use tch::Device;

/// One capture at a time in a process: torch's allocator and generators serve one, and generators keep a list
/// of the graphs there are, so graphs also end under it. Replays need no lock.
static CAPTURES: ReentrantMutex<()> = ReentrantMutex::new(());

/// How long a capture waits for others to finish a backward, or to give the generators back.
const PATIENCE: Duration = Duration::from_secs(10);

/// All models of a process share torch's one backward thread a device, and that thread one cuDNN handle. When
/// it turns from one model's stream to another's, cuDNN marks its place on the stream it leaves; were that
/// one being captured, the mark would become part of the capture, or meet its end half-way. So nobody runs
/// backward while another captures.
static BACKWARD: RwLock<()> = RwLock::new(());

/// While it lives, no capture begins; see [`backward`].
#[derive(Debug)]
#[must_use = "captures may begin when this value is dropped"]
pub struct Backward(#[expect(dead_code, reason = "held, not read")] RwLockReadGuard<'static, ()>);

/// To be held by whoever runs a backward on a GPU that is not itself captured, if another thread may be
/// capturing. Any number of threads hold it at once; it waits for a capture that is under way, some
/// milliseconds. Take it before a fork of the generators, never inside one.
pub fn backward() -> Backward {
    Backward(BACKWARD.read_recursive())
}

/// Memory for the temporaries of some graphs. Graphs that share a pool must not run at the same time, and the
/// results of one must be read before another runs.
#[derive(Debug)]
pub struct Pool {
    library: &'static Symbols,
    pool: *mut c_void,
}

// SAFETY: it is a number that names memory; it is changed by nobody.
unsafe impl Send for Pool {}

impl Pool {
    /// A pool that nobody uses.
    ///
    /// # Errors
    /// If the GPU half cannot be opened.
    pub fn new() -> Result<Self> {
        let (library, mut pool) = (library()?, std::ptr::null_mut());
        // SAFETY: the place is valid.
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

/// A recorded sequence of kernels.
#[derive(Debug)]
pub struct Graph {
    library: &'static Symbols,
    graph: *mut c_void,
}

// SAFETY: a graph may be launched from any thread, by one at a time: `replay` takes `&mut`.
unsafe impl Send for Graph {}

/// Why there is no graph.
#[derive(Debug)]
pub enum NotCaptured<E> {
    /// The captured function failed with its own error.
    Body(E),
    /// The body did what cannot be recorded, or CUDA refuses.
    Capture(Error),
}

impl Graph {
    /// Records what `body` asks of the device on this thread's current stream, which must not be the default
    /// one. Nothing of it runs. `body` must have run before without being recorded: what libraries set up at
    /// first use cannot be recorded.
    ///
    /// # Errors
    /// The body's own error, or what could not be recorded. Then there is no graph, and the device is as
    /// before.
    pub fn capture<T, E>(
        device: Device,
        pool: &Pool,
        body: impl FnOnce() -> std::result::Result<T, E>,
    ) -> std::result::Result<(Self, T), NotCaptured<E>> {
        let refused = NotCaptured::Capture;
        let library = library().map_err(refused)?;
        let device = index(device).map_err(refused)?;
        let _alone = CAPTURES.lock();
        // Someone who waits for a capture while holding either of these would wait for ever: it gives way.
        let busy =
            || NotCaptured::Capture(Error::Torch("another thread is at work and does not end".to_owned()));
        let _backward = BACKWARD.try_write_for(PATIENCE).ok_or_else(busy)?;
        // While a capture counts what it draws, nobody may fork the generators.
        let _generators = rng::try_lock_for(PATIENCE).ok_or_else(busy)?;
        let mut graph = std::ptr::null_mut();
        // SAFETY: pool and place are live.
        let begun = unsafe { (library.graph_begin)(device, pool.pool, &raw mut graph) };
        library.check(begun).map_err(refused)?;
        let recording = Self { library, graph };
        let done = body();
        // SAFETY: begun above, on this thread.
        let ended = library.check(unsafe { (library.graph_end)(graph, pool.pool) });
        // A body that failed explains more than the capture that it broke.
        match (done, ended) {
            (Ok(value), Ok(())) => Ok((recording, value)),
            (Err(error), Ok(())) => Err(NotCaptured::Body(error)),
            (_, Err(error)) => Err(NotCaptured::Capture(error)),
        }
    }

    /// Queues everything that was recorded on this thread's current stream, as one launch.
    ///
    /// # Errors
    /// If CUDA refuses.
    pub fn replay(&mut self) -> Result<()> {
        // SAFETY: the graph is live and recorded.
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
