//! The GPU half: libtorch's CUDA libraries opened at run time, and what Kasmina adds to them.
//!
//! Kasmina links the CPU libraries only. Its own GPU code is a library too, compiled against CUDA's headers
//! on every machine, carried inside this crate as bytes, and opened beside `libtorch_cuda.so` where there is
//! one.

mod library;
mod open;
mod stream;

pub mod fused;
pub mod graph;
pub(crate) mod optim;

pub use open::{libtorch_dir, open};
pub use stream::{Entered, Stream};

use crate::error::{Error, Result};
use crate::ffi;
use library::library;
use tch::Device;

/// Waits until everything that was queued on a device is done.
///
/// # Errors
/// If a kernel failed, or the device is no GPU.
pub fn synchronize(device: Device) -> Result<()> {
    let library = library()?;
    // SAFETY: no pointers are passed.
    library.check(unsafe { (library.device_synchronize)(index(device)?) })
}

/// How cuDNN chooses the algorithm of a convolution.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Convolutions {
    /// By cuDNN's own rules, at once.
    #[default]
    Heuristic,
    /// By trying them out when a shape is first met.
    Fastest,
    /// By cuDNN's rules among those that add up in the same order each time: with them a run on a GPU can be
    /// repeated bit for bit, as far as its other layers go.
    Deterministic,
}

/// Lets every convolution of this process from now on be chosen so.
///
/// # Errors
/// If libtorch refuses.
pub fn choose(convolutions: Convolutions) -> Result<()> {
    let (benchmark, deterministic) =
        (convolutions == Convolutions::Fastest, convolutions == Convolutions::Deterministic);
    // SAFETY: no pointers are passed.
    ffi::check(unsafe { ffi::kte_convolutions(benchmark, deterministic) })
}

fn index(device: Device) -> Result<std::ffi::c_int> {
    match device {
        Device::Cuda(index) => Ok(index as std::ffi::c_int),
        other => Err(Error::Torch(format!("{other:?} is no GPU"))),
    }
}
