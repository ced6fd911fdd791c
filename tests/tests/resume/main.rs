//! Runs that go on: refusals, branches, extensions, locks, signals, full disks, and what was done to a live
//! run.

mod acts;
mod home;
mod live;
mod process;
mod refusals;
mod trust;
mod ways;
