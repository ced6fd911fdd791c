//! The memory counter counts allocations and releases of tensors.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed step is a failed test")]
use kasmina_torch_ext::memory::MemoryCounter;
use tch::{Device, Kind, Tensor};

#[test]
fn allocated_and_freed_bytes_are_counted() {
    let counter = MemoryCounter::start().unwrap();
    let tensor = Tensor::zeros([1000], (Kind::Float, Device::Cpu));
    let held = counter.read().unwrap();
    assert!(held.live_bytes >= 4000 && held.allocations >= 1, "{held:?}");
    let view = tensor.view([10, 100]);
    assert_eq!(counter.read().unwrap(), held, "a view allocates nothing");
    drop(tensor);
    assert_eq!(counter.read().unwrap().live_bytes, held.live_bytes, "the view keeps the memory");
    drop(view);
    assert_eq!(counter.read().unwrap().live_bytes, held.live_bytes - 4000);
}
