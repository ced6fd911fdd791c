//! `kasmina eval`, `predict` and `generate`: what a trained network computes is what its run computed, from a
//! run as from an export.

mod evaluate;
mod formats;
mod generate;
mod predict;
mod refusals;
mod runs;
