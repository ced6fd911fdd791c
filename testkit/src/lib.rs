//! What every plugin must hold to, as checks that anyone can run.
//!
//! A check is one promise of the interface, tried on one entry of a plugin in a process of its own: what
//! crashes, hangs or eats the memory there is a line of the report here. Everything random comes from one
//! seed, so a failure can be had again.
//!
//! The kit is used in three ways: by `kasmina plugins check FILE`, by Kasmina's own tests, and by an author's
//! `cargo test`. The last takes one line in `tests/conformance.rs`:
//!
//! ```no_run
//! kasmina_testkit::conformance!();
//! ```
//!
//! [`smoke`] is the quick subset, for whoever is about to let a plugin in and has no time for the rest.

#![forbid(unsafe_code)]

mod answer;
mod check;
mod checks;
#[doc(hidden)]
pub mod conformance;
mod failure;
mod heard;
mod job;
mod judge;
mod live;
mod load;
mod place;
mod process;
mod report;
mod run;
mod schema;
mod smoke;
mod subject;

pub use answer::{answer, is_check};
pub use check::{Check, checks, table};
pub use report::{Report, Row, Verdict};
pub use run::{CheckError, Options, check_file, check_manifest};
pub use smoke::smoke;
