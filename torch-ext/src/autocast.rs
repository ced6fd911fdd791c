//! Mixed precision: matrix products and convolutions run in bfloat16, reductions in float32.

use crate::error::Result;
use crate::ffi;
use std::marker::PhantomData;
use tch::Device;

/// Scope in which libtorch's autocast to bfloat16 is on for this thread and one kind of device (CPU or CUDA).
/// Scopes nest.
#[derive(Debug)]
#[must_use = "autocast ends when this value is dropped"]
pub struct Autocast {
    cuda: bool,
    /// Whether autocast was on outside of this scope.
    was_enabled: bool,
    /// Makes the type `!Send`: autocast state belongs to a thread.
    _thread: PhantomData<*const ()>,
}

impl Autocast {
    /// Turns autocast to bfloat16 on for the kind of `device`, until the returned value is dropped.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn bf16(device: Device) -> Result<Self> {
        let (cuda, mut was_enabled) = (device.is_cuda(), false);
        // SAFETY: the output pointer is valid.
        ffi::check(unsafe { ffi::kte_autocast_enter(cuda, &raw mut was_enabled) })?;
        Ok(Self { cuda, was_enabled, _thread: PhantomData })
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // SAFETY: no pointers are passed; the thread is the one that entered, since the type is not Send.
        let _ = ffi::check(unsafe { ffi::kte_autocast_leave(self.cuda, self.was_enabled) });
    }
}
