//! Collective operations on the CPU, by the Gloo that libtorch contains.

use super::store::Store;
use crate::error::{Error, Result};
use crate::ffi;
use std::ffi::{CString, c_int, c_void};
use std::time::Duration;
use tch::{Device, Kind, Tensor};

/// The connections of one rank with all others.
#[derive(Debug)]
pub(super) struct Gloo {
    raw: *mut c_void,
    /// Whether an operation has failed. Then libtorch's threads may still wait for a rank.
    failed: bool,
}

// SAFETY: libtorch runs the operations on threads of its own, and calls come through `&mut` only.
unsafe impl Send for Gloo {}

impl Gloo {
    /// Connects a rank with the others. `host` is the address that it listens on; without one, that of the
    /// machine's name, or of the interface in `GLOO_SOCKET_IFNAME`.
    pub(super) fn connect(
        store: &Store,
        (rank, size): (usize, usize),
        host: Option<&str>,
        timeout: Duration,
    ) -> Result<Self> {
        let host = host
            .map(CString::new)
            .transpose()
            .map_err(|error| Error::Torch(format!("invalid name of a host: {error}")))?;
        let mut gloo = store.call(timeout, move |store| {
            let host = host.as_ref().map_or(std::ptr::null(), |host| host.as_ptr());
            let (mut raw, timeout) = (std::ptr::null_mut(), super::store::milliseconds(timeout));
            // SAFETY: the store is live, the text is null or NUL-terminated, the output pointer is valid.
            ffi::check(unsafe {
                ffi::kte_gloo_new(store.raw(), number(rank), number(size), host, timeout, &raw mut raw)
            })?;
            Ok(Self { raw, failed: false })
        })?;
        gloo.test(rank, size)?;
        Ok(gloo)
    }

    /// Compares a sum of all ranks with its value, which shows whether libtorch's Gloo is the expected one.
    fn test(&mut self, rank: usize, size: usize) -> Result<()> {
        let mine = Tensor::f_full([3], rank as f64 + 1.0, (Kind::Float, Device::Cpu))?;
        self.sum(&mine)?;
        self.wait()?;
        let expected = (size * (size + 1) / 2) as f64;
        let found = Vec::<f32>::try_from(&mine)?;
        if found.iter().all(|n| f64::from(*n) == expected) {
            return Ok(());
        }
        let text =
            format!("libtorch's Gloo has another layout than expected: it sums to {found:?}, not {expected}");
        Err(Error::Torch(text))
    }

    /// Begins the replacement of a tensor by its sum over all ranks.
    pub(super) fn sum(&mut self, tensor: &Tensor) -> Result<()> {
        // SAFETY: the group is live; libtorch holds its own handle on the tensor.
        let begun = ffi::check(unsafe { ffi::kte_gloo_sum(self.raw, tensor.as_ptr()) });
        self.note(begun)
    }

    /// Begins the collection of the tensors of all ranks in `all`.
    pub(super) fn gather(&mut self, tensor: &Tensor, all: &Tensor) -> Result<()> {
        // SAFETY: as in `sum`.
        let begun = ffi::check(unsafe { ffi::kte_gloo_gather(self.raw, tensor.as_ptr(), all.as_ptr()) });
        self.note(begun)
    }

    /// Begins the replacement of a tensor by that of the rank `root`.
    pub(super) fn broadcast(&mut self, tensor: &Tensor, root: usize) -> Result<()> {
        // SAFETY: as in `sum`.
        let begun = ffi::check(unsafe { ffi::kte_gloo_broadcast(self.raw, tensor.as_ptr(), number(root)) });
        self.note(begun)
    }

    /// Waits for all operations that have begun.
    pub(super) fn wait(&mut self) -> Result<()> {
        // SAFETY: the group is live.
        let done = ffi::check(unsafe { ffi::kte_gloo_wait(self.raw) });
        self.note(done)
    }

    fn note(&mut self, result: Result<()>) -> Result<()> {
        self.failed |= result.is_err();
        result
    }
}

impl Drop for Gloo {
    fn drop(&mut self) {
        // Closing waits for operations in progress, which may wait for a rank that is lost.
        if !self.failed {
            // SAFETY: made by `kte_gloo_new` and not used again.
            unsafe { ffi::kte_gloo_free(self.raw) }
        }
    }
}

fn number(n: usize) -> c_int {
    c_int::try_from(n).unwrap_or(c_int::MAX)
}
