//! A live run listens: to a socket in its directory, and to the files of its plugins.
//!
//! Whatever takes time (judging, trying and opening a new build) is done by the threads here. The training
//! thread reads one queue between two steps, and does nothing else for it.

mod client;
mod line;
mod message;
mod outside;
mod queue;
mod socket;
mod watch;
mod watchdog;

pub use client::{ControlError, ask};
pub(crate) use message::ControlMessage;
pub use message::{Reply, Request, SOCKET};
pub(crate) use outside::Outside;
pub(crate) use queue::ControlQueue;
pub(crate) use watch::Watcher;
pub use watchdog::STUCK;
