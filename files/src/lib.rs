//! Reads files from untrusted sources, and writes files atomically.
//!
//! Reading never blocks and never uses more memory than the caller allows: only regular files are opened, and
//! each read has a limit in bytes. [`limit`] contains the limits of all kinds of files that Kasmina reads.

#![forbid(unsafe_code)]

mod hash;
pub mod limit;
mod read;
mod write;

pub use hash::{sha256, sha256_of};
pub use limit::Limit;
pub use read::{open_limited, open_regular, read, read_text};
pub use write::{make_new, open_own, write_whole};
