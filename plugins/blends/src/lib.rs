//! The blend algorithms that ship with Kasmina.
//!
//! | operator | blends | mixture at alpha `a` |
//! |---|---|---|
//! | lerp | `linear`, `sigmoid`, `cosine`, `tanh` | `h + a (s - h)` |
//! | lerp, gated | `gated` | `h + a g(x) (s - h)`, `g` learned per sample or position |
//! | residual | `residual` | `h + a (s - x)` |
//! | multiply | `multiply` | `h (1 + a tanh(s - x))` |
//! | lerp per channel | `per_channel` | `h + a (1 + w_c) (s - h)`, `w` learned per channel |
//!
//! `h` are the host's features, `s` the seed's output, and `x` the seed's input: the host's features,
//! detached while the seed is isolated. Any operator can be combined with any ramp.

#![forbid(unsafe_code)]

mod gated;
mod input;
mod operator;
mod per_channel;
mod precise;
mod ramp;
mod ramps;
mod ungated;

pub use gated::{Gated, GatedConfig};
pub use operator::Operator;
pub use per_channel::PerChannel;
pub use ramp::{Ramp, Shape};
pub use ramps::{Cosine, Linear, NoConfig, Sigmoid, SigmoidConfig, Tanh, TanhConfig};
pub use ungated::{Multiply, RampConfig, Residual};

kasmina_plugin_api::export_plugin!();
