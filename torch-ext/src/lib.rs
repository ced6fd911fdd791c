//! The libtorch entry points that [`tch`] does not bind: a small C++ shim and safe Rust wrappers.
//!
//! This crate contains no policy: its callers decide what a seed may do, when an optimizer group is added and
//! when a generator is forked.
//!
//! * [`autocast`]: mixed precision
//! * [`autograd`]: zero-copy straight-through estimator, version counters, memory formats
//! * [`closeness`]: equality up to rounding
//! * [`norm`]: gradient norms that stay on the device
//! * [`optim`]: fused SGD and AdamW over named, removable groups behind a two-phase [`ParameterSink`]
//! * [`rng`]: saving, forking and restoring torch's generators
//! * [`ops`]: counting dispatched operations
//! * [`flops`]: counting multiply-adds
//! * [`memory`]: counting the bytes allocated by tensors
//! * [`staging`]: reusable host memory for copies of tensors
//! * [`script`]: TorchScript modules with taps after the calls of their submodules
//! * [`traced`] and [`neighbours`]: writing TorchScript modules, and reading their structure
//! * [`ranks`]: the store of the ranks, sums over all ranks, gradients in buckets, batch statistics
//! * [`trace`]: libtorch's profiler
//! * [`cuda`]: opening `libtorch_cuda.so` at run time; streams, graphs and fused layers

#![allow(unsafe_code, reason = "this crate is the boundary to the C++ shim")]

mod archive;
pub mod autocast;
pub mod autograd;
mod callback;
pub mod closeness;
pub mod cuda;
mod error;
mod ffi;
pub mod flops;
mod machine;
pub mod memory;
pub mod neighbours;
pub mod norm;
pub mod ops;
pub mod optim;
pub mod ranks;
pub mod rng;
pub mod script;
mod sink;
pub mod staging;
pub mod trace;
pub mod traced;

pub use error::{Error, Result};
pub use machine::{cpu_capability, cpu_name, describe_gpu};
pub use sink::{Change, NamedParameter, ParameterSink, Role, SinkError, Ticket};
