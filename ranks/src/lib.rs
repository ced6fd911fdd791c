//! The processes ("ranks") that train one network together: which ones there are, and which one this is.
//!
//! Nothing here knows what is trained.

#![forbid(unsafe_code)]

mod error;
mod world;

pub use error::WorldError;
pub use world::{Launcher, Rendezvous, World};
