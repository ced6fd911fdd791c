//! The few libtorch entry points that [`tch`] does not bind, as a small C++ shim with safe Rust over it.
//!
//! No policy lives here: what a seed may do, when a group is added or a generator forked is decided above.
//!
//! * [`autocast`]: mixed precision
//! * [`autograd`]: zero-copy straight-through, version counters, memory formats
//! * [`closeness`]: equality but for rounding
//! * [`norm`]: gradient norms that stay on the device
//! * [`optim`]: fused SGD and AdamW over named, removable groups behind a two-phase [`ParameterSink`]
//! * [`rng`]: saving, forking and restoring torch's generators
//! * [`ops`]: counting dispatched operations
//! * [`flops`]: counting multiply-adds
//! * [`memory`]: counting the bytes that tensors hold
//! * [`staging`]: host memory for copies of tensors
//! * [`script`]: TorchScript modules with taps behind the calls of their submodules
//! * [`trace`]: libtorch's profiler
//! * [`cuda`]: opening `libtorch_cuda.so` at run time; streams, graphs and fused layers

#![allow(unsafe_code, reason = "this crate is the boundary to the C++ shim")]

mod archive;
pub mod autocast;
pub mod autograd;
pub mod closeness;
pub mod cuda;
mod error;
mod ffi;
pub mod flops;
mod machine;
pub mod memory;
pub mod norm;
pub mod ops;
pub mod optim;
pub mod rng;
pub mod script;
mod sink;
pub mod staging;
pub mod trace;

pub use error::{Error, Result};
pub use machine::{cpu_capability, cpu_name, describe_gpu};
pub use sink::{Change, NamedParameter, ParameterSink, Role, SinkError, Ticket};
