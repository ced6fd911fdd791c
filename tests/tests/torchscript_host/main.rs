//! The host `core::grafted`: TorchScript modules written by PyTorch (`fixtures/script`).

mod computation;
mod modules;
mod refusals;
mod taps;
mod training;
