//! Blueprints without a compiler.
//!
//! `graph` builds seeds from a document, `NAME.blueprint.toml`: a graph of layers in TOML. `torchscript`
//! builds them from a module, `NAME.pt`, and a document about it, `NAME.pt.toml`. The registry finds such
//! files and makes each an entry of its own; an author writes no Rust. `docs/guide/declared.md` is for them.
//!
//! A document goes through these rooms, and a mistake is told with line and column by the first that can see
//! it: `header`, `document` and `values` read (into the types of `layer`), `wiring` resolves names, `plan`
//! and `resolve` compute numbers and shapes at a slot (the types of `step`), `birth` says what the seed would
//! be before its first step, and `layers` makes tensors of it. All but the last happen when the configuration
//! is read.

#![forbid(unsafe_code)]

mod birth;
mod document;
mod expr;
mod graph;
mod header;
mod layer;
mod layers;
mod mix;
mod ops;
mod plan;
mod pytorch;
mod reader;
mod resolve;
pub mod schema;
mod shape;
mod source;
mod step;
mod torchscript;
mod values;
mod wiring;

pub use graph::{Graph, GraphConfig, RawGraph};
pub use torchscript::{RawTorchScript, TorchScript, TorchScriptConfig};

kasmina_plugin_api::export_plugin!();
