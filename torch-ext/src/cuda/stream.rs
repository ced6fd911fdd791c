//! Private CUDA streams: work queued on one does not wait for the work of other models.

use super::index;
use super::library::{Symbols, library};
use crate::error::Result;
use std::ffi::c_void;
use std::marker::PhantomData;
use tch::Device;

/// A CUDA stream that has no other user while this value lives.
#[derive(Debug)]
pub struct Stream {
    library: &'static Symbols,
    stream: *mut c_void,
}

// SAFETY: any thread may use a stream. Calls through `&self` change only the calling thread's current stream
// and one event, which a lock protects.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Stream {
    /// Creates a stream on a device, or reuses one that has no user.
    ///
    /// # Errors
    /// If the device is not a GPU, or the GPU library cannot be opened.
    pub fn new(device: Device) -> Result<Self> {
        let (library, mut stream) = (library()?, std::ptr::null_mut());
        // SAFETY: the output pointer is valid.
        library.check(unsafe { (library.stream_new)(index(device)?, &raw mut stream) })?;
        Ok(Self { library, stream })
    }

    /// Returns CUDA's handle as a number that identifies the stream.
    pub fn handle(&self) -> usize {
        // SAFETY: the stream is live.
        unsafe { (self.library.stream_handle)(self.stream) }
    }

    /// Makes this the thread's current stream until the returned value is dropped. Work queued on it waits
    /// for everything queued before on the previous current stream. Does nothing if the stream is already
    /// current.
    ///
    /// # Errors
    /// If CUDA refuses.
    pub fn enter(&self) -> Result<Entered<'_>> {
        let mut before = [0; 3];
        // SAFETY: the stream is live, and `before` has room for three numbers.
        self.library.check(unsafe { (self.library.stream_enter)(self.stream, before.as_mut_ptr()) })?;
        Ok(Entered { stream: self, before, _thread: PhantomData })
    }

    /// Makes this stream wait for everything queued on the thread's current stream.
    ///
    /// # Errors
    /// If CUDA refuses.
    pub fn follow_current(&self) -> Result<()> {
        // SAFETY: the stream is live.
        self.library.check(unsafe { (self.library.stream_follow)(self.stream) })
    }

    /// Makes the thread's current stream wait for everything queued on this stream.
    ///
    /// # Errors
    /// If CUDA refuses.
    pub fn join_current(&self) -> Result<()> {
        // SAFETY: the stream is live.
        self.library.check(unsafe { (self.library.stream_join)(self.stream) })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: made by `stream_new` and not used again.
        unsafe { (self.library.stream_free)(self.stream) }
    }
}

/// Scope in which a [`Stream`] is the thread's current stream. When it ends, the previous stream is current
/// again, and its later work waits for the work queued in the scope.
#[derive(Debug)]
#[must_use = "the stream is left when this value is dropped"]
pub struct Entered<'s> {
    stream: &'s Stream,
    before: [i64; 3],
    /// Makes the type `!Send`: the current stream belongs to a thread.
    _thread: PhantomData<*const ()>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let library = self.stream.library;
        // SAFETY: the stream outlives the scope; the numbers are those that `enter` wrote.
        let _ = library.check(unsafe { (library.stream_leave)(self.stream.stream, self.before.as_ptr()) });
    }
}
