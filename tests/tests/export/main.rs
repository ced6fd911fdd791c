//! `kasmina export`: an exported network computes in Python what it computes in Kasmina, and what cannot be
//! exported is refused.

mod adapter;
mod agreement;
mod fold;
mod grafted;
mod readme;
mod refusals;
mod sources;
mod structures;
mod uses;
