//! Who is trusted: owners, the lock file and who has confirmed it, signatures, modules, and what every file
//! may cost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::format_push_string,
    reason = "a failed step is a failed test, and a table is short"
)]

mod copies;
mod decisions;
mod libraries;
mod limits;
mod matrix;
mod modules;
mod owners;
mod project;
mod projects;
mod replaced;
mod scene;
mod terminal;
