//! Mixed precision: matrix products and convolutions in bfloat16, everything that sums in float32.

use crate::error::Result;
use crate::ffi;
use std::marker::PhantomData;
use tch::Device;

/// While it lives, libtorch casts to bfloat16 on this thread what may be computed in it on this kind of
/// device. Scopes nest.
#[derive(Debug)]
#[must_use = "autocast ends when this value is dropped"]
pub struct Autocast {
    cuda: bool,
    before: bool,
    /// Keeps the value on its thread, whose autocast state it changes.
    _thread: PhantomData<*const ()>,
}

impl Autocast {
    /// Begins to cast on `device`.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn bf16(device: Device) -> Result<Self> {
        let (cuda, mut before) = (device.is_cuda(), false);
        // SAFETY: the place is valid.
        ffi::check(unsafe { ffi::kte_autocast_enter(cuda, &raw mut before) })?;
        Ok(Self { cuda, before, _thread: PhantomData })
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // SAFETY: no pointers are passed; the thread is the one that entered, since the type is not Send.
        let _ = ffi::check(unsafe { ffi::kte_autocast_leave(self.cuda, self.before) });
    }
}
