//! Runs on several ranks, each a process of its own: agreement with one rank, whole lifecycles, resuming on
//! another number of ranks, and new builds of plugins. The test program `rank_faults` disturbs such runs.

mod agreement;
mod gpus;
mod launched;
mod swaps;
