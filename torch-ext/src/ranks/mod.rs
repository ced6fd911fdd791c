//! Exchange between the processes ("ranks") that train one network: the store through which they find each
//! other, sums of tensors over all ranks, gradients in flat buckets, and batch statistics of all ranks.

mod batch_norm;
mod buckets;
mod collective;
mod gloo;
mod nccl;
mod rank_sums;
mod store;
#[cfg(test)]
mod testing;
mod worker;

pub use batch_norm::SyncBatchNorm;
pub use buckets::{Buckets, Plan};
pub use collective::{Collective, Group};
pub(crate) use rank_sums::{BatchNormFn, SumFn, with_rank_sums};
pub use store::Store;
