//! Collective operations on GPUs, on a stream of their own.

use super::store::Store;
use crate::cuda::Stream;
use crate::cuda::nccl::{Communicator, ID_BYTES, new_id};
use crate::error::{Error, Result};
use std::time::Duration;
use tch::{Device, Tensor};

/// Key of the identifier that all communicators share.
const KEY: &str = "nccl";

/// The communicator of one rank, and the stream of its operations.
#[derive(Debug)]
pub(super) struct Nccl {
    communicator: Communicator,
    stream: Stream,
}

impl Nccl {
    /// Connects a rank with the others.
    pub(super) fn connect(
        store: &Store,
        (rank, size): (usize, usize),
        device: Device,
        timeout: Duration,
    ) -> Result<Self> {
        if rank == 0 {
            store.set(KEY, &new_id()?)?;
        }
        let id = store.get(KEY, timeout)?;
        let id: [u8; ID_BYTES] =
            id.try_into().map_err(|_| Error::Torch("the store has no identifier of NCCL".to_owned()))?;
        let stream = Stream::new(device)?;
        let communicator = Communicator::connect(&id, rank, size, device, timeout)?;
        Ok(Self { communicator, stream })
    }

    /// Queues the replacement of each tensor by its sum over all ranks. It begins when the work that is
    /// queued on the current stream is done.
    pub(super) fn sums(&mut self, tensors: &[&Tensor]) -> Result<()> {
        self.stream.follow_current()?;
        self.communicator.sums(tensors, &self.stream)
    }

    /// Queues the collection of the tensors of all ranks in `all`.
    pub(super) fn gather(&mut self, tensor: &Tensor, all: &Tensor) -> Result<()> {
        self.stream.follow_current()?;
        self.communicator.gather(tensor, all, &self.stream)
    }

    /// Queues the replacement of a tensor by that of the rank `root`.
    pub(super) fn broadcast(&mut self, tensor: &Tensor, root: usize) -> Result<()> {
        self.stream.follow_current()?;
        self.communicator.broadcast(tensor, root, &self.stream)
    }

    /// Makes the current stream wait for all operations that were queued.
    pub(super) fn wait(&mut self) -> Result<()> {
        self.stream.join_current()
    }

    /// Ends all operations of this rank, also those that wait for other ranks.
    pub(super) fn abort(&mut self) {
        self.communicator.abort();
    }

    /// Closes the communicator together with the other ranks.
    pub(super) fn close(&mut self) {
        self.communicator.close();
    }
}
