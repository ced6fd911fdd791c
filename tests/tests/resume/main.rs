//! Runs that go on: refusals, branches, extensions, locks, signals, full disks, and what was done to a live
//! run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::format_push_string,
    reason = "a failed step is a failed test, and a table is short"
)]

mod acts;
mod home;
mod live;
mod process;
mod refusals;
mod trust;
mod ways;
