//! The blend algorithms that ship with Kasmina: `linear` and `sigmoid`. Both mix by lerp; they differ in the shape
//! of the ramp.

#![forbid(unsafe_code)]

mod linear;
mod sigmoid;

pub use linear::{Linear, LinearConfig};
pub use sigmoid::{Sigmoid, SigmoidConfig};

kasmina_plugin_api::export_plugin!();
