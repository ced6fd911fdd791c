//! Runs on several ranks, each a process of its own: agreement with one rank, whole lifecycles, resuming on
//! another number of ranks, and ranks that are lost, late or different.

mod agreement;
mod faults;
mod launched;
mod swaps;
