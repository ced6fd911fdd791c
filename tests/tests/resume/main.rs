//! Resuming runs: refusals, trust, branches, extensions, locks, signals, full disks, and actions on live
//! runs.

mod continuation;
mod home;
mod live;
mod live_actions;
mod process;
mod refusals;
mod trust;
