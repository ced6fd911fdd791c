//! A build is opened and tried for the first time in a process of its own.
//!
//! What came of it is kept by the hash of the file and the build of this program, so that it is done once.
//! What ends the process is quarantined, and the rest go on.

mod child;
mod module;
mod module_child;
mod parent;
mod protocol;
mod quarantined;
mod this_build;
mod verdict;

pub use child::answer;
pub(crate) use module::try_module;
pub(crate) use parent::{Probed, probe, schemas, suspect};
pub use protocol::Judged;
pub(crate) use protocol::key;
