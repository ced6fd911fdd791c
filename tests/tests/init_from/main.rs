//! `kasmina train --init-from`: a host begins with weights that exist.

mod frozen;
mod libraries;
mod own;
mod refusals;
