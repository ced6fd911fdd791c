//! Networks that leave Kasmina: what an exported folder computes in Python is what the run computes, and what
//! cannot be exported is refused.

mod agreement;
mod python;
mod refusals;
mod structures;
