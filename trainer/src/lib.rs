//! Tasks, the training loop, controllers and the run directory.
//!
//! The rules of slots and gates are in [`kasmina`]. This crate loads the data, runs the training steps, calls
//! a [`Controller`] at the end of each epoch, executes its commands, and writes the run directory.

#![forbid(unsafe_code)]

pub mod compare;
pub mod config;
pub mod control;
pub mod controller;
pub mod device;
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
