//! Numbers of earlier steps, copied from the device without waiting for it.

use super::index;
use super::library::{Symbols, library};
use crate::error::Result;
use std::ffi::c_void;
use tch::{Device, Tensor};

/// A ring of numbers in page-locked memory, to which the device copies.
#[derive(Debug)]
pub struct Echo {
    library: &'static Symbols,
    raw: *mut c_void,
    places: usize,
}

// SAFETY: it has no other user, and CUDA's events may be used by any thread.
unsafe impl Send for Echo {}

impl Echo {
    /// Creates a ring of `places` numbers for a device.
    ///
    /// # Errors
    /// If the device is not a GPU, or its memory cannot be allocated.
    pub fn new(device: Device, places: usize) -> Result<Self> {
        let (library, mut raw) = (library()?, std::ptr::null_mut());
        // SAFETY: the output pointer is valid.
        library.check(unsafe { (library.echo_new)(index(device)?, places, &raw mut raw) })?;
        Ok(Self { library, raw, places })
    }

    /// Queues a copy of a number to a place of the ring on the thread's current stream.
    ///
    /// # Shapes
    /// `number`: one element, `float32`, on the device.
    ///
    /// # Errors
    /// If CUDA refuses.
    pub fn push(&mut self, place: u64, number: &Tensor) -> Result<()> {
        let place = self.place(place);
        // SAFETY: ring and tensor are live; the place exists.
        self.library.check(unsafe { (self.library.echo_push)(self.raw, place, number.as_ptr()) })
    }

    /// Returns the number in a place, or `None` if its copy is not done yet.
    ///
    /// # Errors
    /// If a kernel before it has failed.
    pub fn read(&self, place: u64) -> Result<Option<f32>> {
        let (mut done, mut number) = (false, 0.0);
        let place = self.place(place);
        // SAFETY: the ring is live, the place exists, the output pointers are valid.
        let read = unsafe { (self.library.echo_read)(self.raw, place, &raw mut done, &raw mut number) };
        self.library.check(read)?;
        Ok(done.then_some(number))
    }

    fn place(&self, place: u64) -> usize {
        (place % self.places as u64) as usize
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // SAFETY: made by `echo_new` and not used again.
        unsafe { (self.library.echo_free)(self.raw) }
    }
}
