//! Streams of one's own: what is queued on one does not wait for what others queue.

use super::index;
use super::library::{Symbols, library};
use crate::error::Result;
use std::ffi::c_void;
use std::marker::PhantomData;
use tch::Device;

/// A stream that nobody else has while it lives.
#[derive(Debug)]
pub struct Stream {
    library: &'static Symbols,
    stream: *mut c_void,
}

// SAFETY: a stream may be used from any thread. What `&self` calls change is the calling thread's current
// stream, and one event, under a lock of its own.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Stream {
    /// One of the device's streams.
    ///
    /// # Errors
    /// If the device is no GPU, or the GPU half cannot be opened.
    pub fn new(device: Device) -> Result<Self> {
        let (library, mut stream) = (library()?, std::ptr::null_mut());
        // SAFETY: the place is valid.
        library.check(unsafe { (library.stream_new)(index(device)?, &raw mut stream) })?;
        Ok(Self { library, stream })
    }

    /// CUDA's own handle, as a number: for telling streams apart.
    pub fn handle(&self) -> usize {
        // SAFETY: the stream is live.
        unsafe { (self.library.stream_handle)(self.stream) }
    }

    /// Queues on it what this thread asks of the device, until the answer is dropped; after everything that
    /// was queued before. Entering a stream that is current already costs nothing.
    ///
    /// # Errors
    /// If CUDA refuses.
    pub fn enter(&self) -> Result<Entered<'_>> {
        let mut before = [0; 3];
        // SAFETY: the stream is live, the place has room for three numbers.
        self.library.check(unsafe { (self.library.stream_enter)(self.stream, before.as_mut_ptr()) })?;
        Ok(Entered { stream: self, before, _thread: PhantomData })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: made by `stream_new` and not used again.
        unsafe { (self.library.stream_free)(self.stream) }
    }
}

/// A scope on a [`Stream`]. What follows it, on the stream that was current before, waits for what was queued
/// in it.
#[derive(Debug)]
#[must_use = "the stream is left when this value is dropped"]
pub struct Entered<'s> {
    stream: &'s Stream,
    before: [i64; 3],
    /// The current stream is this thread's.
    _thread: PhantomData<*const ()>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let library = self.stream.library;
        // SAFETY: the stream outlives the scope; the numbers are those that entering gave.
        let _ = library.check(unsafe { (library.stream_leave)(self.stream.stream, self.before.as_ptr()) });
    }
}
