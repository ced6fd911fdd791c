//! GPU support: opening libtorch's CUDA libraries at run time, and Kasmina's own GPU code.
//!
//! Kasmina links the CPU libraries only. Its own GPU code is a separate library. It is compiled against
//! CUDA's headers on every machine, embedded in this crate, and opened after `libtorch_cuda.so` if that is
//! installed.

mod echo;
mod library;
pub(crate) mod nccl;
mod open;
mod stream;

pub mod fused;
pub mod graph;
pub(crate) mod optim;

pub use echo::Echo;
pub use open::{libtorch_dir, open};
pub use stream::{Entered, Stream};

use crate::error::{Error, Result};
use crate::ffi;
use library::library;
use tch::Device;

/// Waits until all work queued on a device is done.
///
/// # Errors
/// If a kernel failed, or the device is not a GPU.
pub fn synchronize(device: Device) -> Result<()> {
    let library = library()?;
    // SAFETY: no pointers are passed.
    library.check(unsafe { (library.device_synchronize)(index(device)?) })
}

/// Makes a GPU the thread's current device.
///
/// # Errors
/// If the device is not a GPU.
pub fn make_current(device: Device) -> Result<()> {
    let library = library()?;
    // SAFETY: no pointers are passed.
    library.check(unsafe { (library.device_set)(index(device)?) })
}

/// How cuDNN chooses the algorithm of a convolution.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Convolutions {
    /// By cuDNN's heuristics, without measurements.
    #[default]
    Heuristic,
    /// By measuring the algorithms when a shape first occurs.
    Fastest,
    /// By cuDNN's heuristics among the deterministic algorithms. A run on a GPU can then be repeated bit for
    /// bit, if its other layers are deterministic too.
    Deterministic,
}

/// Sets how cuDNN chooses the algorithm of every later convolution in this process.
///
/// # Errors
/// If libtorch refuses.
pub fn choose(convolutions: Convolutions) -> Result<()> {
    let (benchmark, deterministic) =
        (convolutions == Convolutions::Fastest, convolutions == Convolutions::Deterministic);
    // SAFETY: no pointers are passed.
    ffi::check(unsafe { ffi::kte_convolutions(benchmark, deterministic) })
}

/// Returns the CUDA index of a GPU.
fn index(device: Device) -> Result<std::ffi::c_int> {
    match device {
        Device::Cuda(index) => Ok(index as std::ffi::c_int),
        other => Err(Error::Torch(format!("{other:?} is not a GPU"))),
    }
}
