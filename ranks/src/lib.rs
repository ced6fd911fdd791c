//! The processes ("ranks") that train one network together: which ones there are, how they find each other,
//! how they vote and sum gradients, and how each notices that another one is lost.
//!
//! Nothing here knows what is trained. [`World`] says who this process is; [`Link`] connects it with the
//! others; [`Votes`] and [`Gradients`] are what a model and its steps need of them.

#![forbid(unsafe_code)]

mod device_wait;
mod error;
mod facts;
mod gradients;
mod link;
mod messages;
mod peer;
mod server;
mod shared;
mod votes;
mod watch;
mod weights;
mod world;

pub use device_wait::DeviceWait;
pub use error::RanksError;
pub use facts::compare_facts;
pub use gradients::{Gradients, ReductionSettings};
pub use link::Link;
pub use messages::Messages;
pub use server::Server;
pub use shared::{Attention, Share};
pub use votes::Votes;
pub use weights::compare_tensors;
pub use world::{Launcher, Rendezvous, StoreServer, World, WorldError};
