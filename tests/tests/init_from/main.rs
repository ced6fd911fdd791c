//! `kasmina train --init-from`: a host begins with weights that exist.

mod libraries;
mod own;
mod refusals;
