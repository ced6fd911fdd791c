//! Blueprints that are interpreted instead of compiled.
//!
//! `graph` builds seeds from a declared blueprint `NAME.blueprint.toml`, a graph of layers in TOML.
//! `torchscript` builds them from a TorchScript module `NAME.pt` and its sidecar `NAME.pt.toml`. The
//! registry finds such files and makes an entry of each, so authors write no Rust. `docs/guide/declared.md`
//! is their guide.
//!
//! A document is processed in stages, and the first stage that finds a mistake reports it with line and
//! column: `header`, `document` and `values` read the document (into the types of `layer`), `wiring`
//! resolves names, `plan` and `resolve` compute numbers and shapes for a slot (the types of `step`), `birth`
//! analyses the seed before its first step, and `layers` creates tensors. All stages but the last run when
//! the configuration is read.

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
