//! Probes: each new build is opened and tried in a child process first.
//!
//! Results are cached by the hash of the file and the build of this program. A build that ends the child
//! process is quarantined; the probe of the other builds continues in a new child.

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
pub(crate) use parent::{Probed, probe, schemas, tried_file};
pub use protocol::Judged;
pub(crate) use protocol::key;
