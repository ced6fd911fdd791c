//! Conformance checks for plugins.
//!
//! A check tests one promise of the plugin interface on one entry of a plugin. Checks run in child processes,
//! so that a crash, a hang or an exhausted memory is only a row of the report. All random numbers come from
//! one seed, so that failures are reproducible.
//!
//! The checks are run by `kasmina plugins check FILE`, by Kasmina's own tests, and by `cargo test` in the
//! crate of a plugin. The last needs one line in `tests/conformance.rs`:
//!
//! ```no_run
//! kasmina_testkit::conformance!();
//! ```
//!
//! [`smoke`] is a quick subset of the checks, which runs before a plugin is loaded.

#![forbid(unsafe_code)]

mod answer;
mod check;
mod checks;
#[doc(hidden)]
pub mod conformance;
mod error_log;
mod failure;
mod instance;
mod job;
mod judge;
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
