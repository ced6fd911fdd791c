//! Tasks, the training loop, controllers and the run directory.
//!
//! Slot and gate rules live in [`kasmina`]; this crate feeds it data, asks a [`Controller`] what to do at the
//! edge of each epoch, and writes down what happened.

#![forbid(unsafe_code)]

pub mod compare;
pub mod config;
pub mod control;
pub mod controller;
mod device;
mod error;
mod layers;
pub mod record;
pub mod run;
mod schedule;
pub mod signals;
pub mod task;

pub use config::RunConfig;
pub use controller::Controller;
pub use error::TrainError;
pub use layers::Layers;
pub use run::{EpochReport, Observer, Summary, Trainer};
