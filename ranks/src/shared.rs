//! Numbers that the training loop sets between two steps, and that steps read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tch::{Device, Kind, TchError, Tensor};

/// The share that this rank has in a batch, on the device. The tensors are never replaced, because captured
/// steps read their memory.
#[derive(Debug)]
pub struct Share {
    /// Weight of the mean loss of this rank's samples in the loss of the batch, from 0 to 1; 0-dimensional.
    pub weight: Tensor,
    /// 1 if this rank has samples of the batch, otherwise 0; 0-dimensional.
    pub present: Tensor,
    values: (f64, f64),
}

impl Share {
    /// Creates a share of 1 on a device.
    ///
    /// # Errors
    /// If the device has no memory.
    pub fn new(device: Device) -> Result<Self, TchError> {
        let one = || Tensor::f_ones([], (Kind::Float, device));
        Ok(Self { weight: one()?, present: one()?, values: (1.0, 1.0) })
    }

    /// Sets the share of a batch: `mine` of `all` samples. Written to the device only if it has changed.
    ///
    /// # Errors
    /// If the device refuses the write.
    pub fn set(&mut self, mine: i64, all: i64) -> Result<(), TchError> {
        let values = (mine as f64 / all.max(1) as f64, f64::from(u8::from(mine > 0)));
        if values != self.values {
            let _ = self.weight.f_fill_(values.0)?;
            let _ = self.present.f_fill_(values.1)?;
            self.values = values;
        }
        Ok(())
    }

    /// Returns handles on the same tensors.
    #[must_use]
    pub fn handle(&self) -> Self {
        Self {
            weight: self.weight.shallow_clone(),
            present: self.present.shallow_clone(),
            values: self.values,
        }
    }
}

/// By which a rank asks all ranks for an exchange between two steps. All ranks learn of it before the same
/// step.
#[derive(Debug, Clone, Default)]
pub struct Attention {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    requested: AtomicBool,
    granted: AtomicBool,
    /// Number of the step before which the newest exchange was.
    answered: AtomicU64,
}

impl Attention {
    /// Asks for an exchange.
    pub fn request(&self) {
        self.inner.requested.store(true, Ordering::Relaxed);
    }

    /// Whether the exchange is due now, on all ranks. It is due once for each time that ranks have requested
    /// it.
    pub fn is_due(&self) -> bool {
        self.inner.granted.swap(false, Ordering::Relaxed)
    }

    /// Whether this rank asks.
    pub(crate) fn is_requested(&self) -> bool {
        self.inner.requested.load(Ordering::Relaxed)
    }

    /// Notes that some rank has requested it in step `requested`, at the end of step `now`.
    pub(crate) fn grant(&self, requested: u64, now: u64) {
        // Until an answer has reached the device, later steps repeat the request.
        if requested >= self.inner.answered.load(Ordering::Relaxed) {
            self.inner.answered.store(now + 1, Ordering::Relaxed);
            self.inner.requested.store(false, Ordering::Relaxed);
            self.inner.granted.store(true, Ordering::Relaxed);
        }
    }
}
