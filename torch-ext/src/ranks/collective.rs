//! Operations on tensors that all ranks do together.

use super::gloo::Gloo;
use super::nccl::Nccl;
use super::store::Store;
use crate::error::{Error, Result};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tch::{Device, Tensor};

/// The ranks that a [`Collective`] connects.
#[derive(Debug, Clone)]
pub struct Group<'a> {
    /// Number of this rank, from 0.
    pub rank: usize,
    /// Number of ranks.
    pub size: usize,
    /// Device of the tensors: all on the CPU, or on one GPU for each rank.
    pub device: Device,
    /// CPU: the address that this rank listens on; `None` for that of the machine's name.
    pub host: Option<&'a str>,
    /// Longest time that an operation may take.
    pub timeout: Duration,
    /// Whether sums are added in the order of the ranks, so that they are the same bits for any network.
    pub ordered: bool,
}

/// The operations of this rank with all others. Every rank calls the same operations in the same order.
///
/// On a GPU operations are queued; none of them waits. Copies of the handle use the same connections.
#[derive(Debug, Clone)]
pub struct Collective {
    inner: Arc<Mutex<Backend>>,
    size: usize,
    ordered: bool,
    /// Number of operations that this rank has begun, those of replayed steps not counted.
    begun: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Backend {
    Gloo(Gloo),
    Nccl(Nccl),
    /// All operations are refused.
    Aborted,
}

impl Collective {
    /// Connects this rank with all others, which call this at the same time.
    ///
    /// # Errors
    /// If they are not connected within the time, or GPU and CPU are mixed.
    pub fn connect(store: &Store, group: &Group<'_>) -> Result<Self> {
        let ranks = (group.rank, group.size);
        let backend = if group.device.is_cuda() {
            Backend::Nccl(Nccl::connect(store, ranks, group.device, group.timeout)?)
        } else {
            Backend::Gloo(Gloo::connect(store, ranks, group.host, group.timeout)?)
        };
        Ok(Self {
            inner: Arc::new(Mutex::new(backend)),
            size: group.size,
            ordered: group.ordered,
            begun: Arc::default(),
        })
    }

    /// Returns the number of operations that this rank has begun, which shows whether it is behind the
    /// others. Operations of replayed steps are not counted. Does not wait for an operation of another
    /// thread.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Returns the number of ranks.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Begins the replacement of each tensor by its sum over all ranks. The tensors must not be used before
    /// [`wait`](Self::wait).
    ///
    /// # Shapes
    /// `tensors`: dense and contiguous, of the same shapes and dtypes on all ranks.
    ///
    /// # Errors
    /// If a rank is lost.
    pub fn begin_sums(&self, tensors: &[&Tensor]) -> Result<()> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let mut backend = self.inner.lock();
        if self.ordered {
            return tensors.iter().try_for_each(|tensor| sum_in_order(&mut backend, tensor, self.size));
        }
        match &mut *backend {
            Backend::Gloo(gloo) => tensors.iter().try_for_each(|tensor| gloo.sum(tensor)),
            Backend::Nccl(nccl) => nccl.sums(tensors),
            Backend::Aborted => Err(aborted()),
        }
    }

    /// Waits for all operations that have begun. On a GPU, the current stream waits.
    ///
    /// # Errors
    /// If a rank is lost.
    pub fn wait(&self) -> Result<()> {
        self.inner.lock().wait()
    }

    /// Replaces a tensor by its sum over all ranks.
    ///
    /// # Shapes
    /// As for [`begin_sums`](Self::begin_sums).
    ///
    /// # Errors
    /// If a rank is lost.
    pub fn sum(&self, tensor: &Tensor) -> Result<()> {
        self.begin_sums(&[tensor])?;
        self.wait()
    }

    /// Replaces a tensor by that of the rank `root`.
    ///
    /// # Shapes
    /// As for [`begin_sums`](Self::begin_sums).
    ///
    /// # Errors
    /// If a rank is lost.
    pub fn broadcast(&self, tensor: &Tensor, root: usize) -> Result<()> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let mut backend = self.inner.lock();
        match &mut *backend {
            Backend::Gloo(gloo) => gloo.broadcast(tensor, root)?,
            Backend::Nccl(nccl) => nccl.broadcast(tensor, root)?,
            Backend::Aborted => return Err(aborted()),
        }
        backend.wait()
    }

    /// Ends all operations of this rank, also those that wait for other ranks. Later ones are refused.
    /// Returns false, and changes nothing, while another thread is inside an operation; repeat the call then.
    ///
    /// On a GPU it waits until captured steps that contain operations are dropped.
    pub fn abort(&self) -> bool {
        let Some(mut backend) = self.inner.try_lock() else { return false };
        let aborted = std::mem::replace(&mut *backend, Backend::Aborted);
        // Another thread must be able to learn that the operations are refused, and to drop captured steps.
        drop(backend);
        match aborted {
            // Gloo's threads may wait for a lost rank, so its connections stay open until the process ends.
            Backend::Gloo(gloo) => std::mem::forget(gloo),
            Backend::Nccl(mut nccl) => nccl.abort(),
            Backend::Aborted => {}
        }
        true
    }

    /// Closes the connections together with the other ranks. Captured steps that use them must be gone.
    pub fn close(&self) {
        if let Backend::Nccl(nccl) = &mut *self.inner.lock() {
            nccl.close();
        }
    }
}

impl Backend {
    fn wait(&mut self) -> Result<()> {
        match self {
            Self::Gloo(gloo) => gloo.wait(),
            Self::Nccl(nccl) => nccl.wait(),
            Self::Aborted => Err(aborted()),
        }
    }
}

/// Replaces a tensor by the sum of all ranks, added in the order of the ranks.
fn sum_in_order(backend: &mut Backend, tensor: &Tensor, size: usize) -> Result<()> {
    let _no_grad = tch::no_grad_guard();
    let flat = tensor.f_view([-1])?;
    let all = Tensor::f_empty([size as i64, flat.size1()?], (flat.kind(), flat.device()))?;
    match backend {
        Backend::Gloo(gloo) => gloo.gather(&flat, &all)?,
        Backend::Nccl(nccl) => nccl.gather(&flat, &all)?,
        Backend::Aborted => return Err(aborted()),
    }
    backend.wait()?;
    let mut sum = flat;
    sum.f_copy_(&all.f_select(0, 0)?)?;
    for rank in 1..size as i64 {
        let _ = sum.f_add_(&all.f_select(0, rank)?)?;
    }
    Ok(())
}

fn aborted() -> Error {
    Error::Torch("the connections between the ranks were aborted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::testing::on_ranks;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn sums_and_broadcasts_reach_every_rank() {
        let found = on_ranks(3, false, |rank, collective| {
            let mine = Tensor::from_slice(&[rank as f32, 10.0]);
            collective.sum(&mine).unwrap();
            let other = Tensor::full([2], rank as i64, (Kind::Int64, Device::Cpu));
            collective.broadcast(&other, 2).unwrap();
            (Vec::<f32>::try_from(&mine).unwrap(), Vec::<i64>::try_from(&other).unwrap())
        });
        assert!(found.iter().all(|(sum, other)| *sum == [3.0, 30.0] && *other == [2, 2]), "{found:?}");
    }

    /// Floating-point addition is not associative: the order of the ranks shows in the bits.
    #[test]
    fn ordered_sums_are_added_in_the_order_of_the_ranks() {
        let parts = [1e8_f32, 1.0, -1e8, 0.5];
        let expected = parts.iter().fold(0.0, |sum, part| sum + part);
        let found = on_ranks(4, true, |rank, collective| {
            let mine = Tensor::from_slice(&vec![parts[rank]; 1000]);
            collective.sum(&mine).unwrap();
            Vec::<f32>::try_from(&mine).unwrap()
        });
        assert!(found.iter().flatten().all(|sum| sum.to_bits() == expected.to_bits()));
    }

    #[test]
    fn operations_after_an_abort_are_refused() {
        let found = on_ranks(2, false, |_, collective| {
            assert!(collective.abort());
            collective.sum(&Tensor::zeros([1], (Kind::Float, Device::Cpu))).unwrap_err().to_string()
        });
        assert!(found.iter().all(|error| error.contains("aborted")), "{found:?}");
    }
}
