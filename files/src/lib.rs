//! Reads files that other people wrote, and writes files whole.
//!
//! Reading never waits and never takes more memory than the caller allows: only regular files are opened, and
//! each read has a limit in bytes. [`limit`] holds the limits of every kind of file that Kasmina reads.

#![forbid(unsafe_code)]

mod hash;
pub mod limit;
mod read;
mod write;

pub use hash::sha256;
pub use limit::Limit;
pub use read::{open_limited, open_regular, read, read_text};
pub use write::{make_new, open_own, write_whole};
