//! `kasmina export`: an exported network computes in Python what it computes in Kasmina, and what cannot be
//! exported is refused.

mod agreement;
mod grafted;
mod python;
mod readme;
mod refusals;
mod structures;
mod uses;
