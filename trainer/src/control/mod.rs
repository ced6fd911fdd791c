//! Control of a live run: a socket in its directory, a watcher of its plugin files, and a watchdog for calls
//! into plugins.
//!
//! Slow work (checking, trying and opening a new build) is done on the threads of this module. The training
//! thread only reads one queue between two steps.

mod client;
mod line;
mod message;
mod queue;
mod socket;
mod threads;
mod watch;
mod watchdog;

pub use client::{ControlError, ask};
pub(crate) use message::ControlMessage;
pub use message::{Reply, Request, SOCKET};
pub(crate) use queue::{Build, ControlQueue};
pub(crate) use threads::ControlThreads;
pub(crate) use watch::Watcher;
pub use watchdog::STUCK;
