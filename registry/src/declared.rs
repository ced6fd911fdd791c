//! Blueprints that no compiler has seen: files that a plugin interprets, found, hashed, locked and listed
//! like any plugin.
//!
//! This is what such files are called and what they say of themselves; `declared_file` reads them.

use crate::error::{Refusal, Rule};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Name of the plugin that interprets declared blueprints.
pub const INTERPRETER: &str = "kasmina_declared";
/// Its blueprint for declared graphs.
pub(crate) const GRAPH: &str = "graph";
/// Its blueprint for TorchScript modules.
pub(crate) const TORCHSCRIPT: &str = "torchscript";
/// The end of the name of a declared blueprint.
pub(crate) const DECLARED: &str = ".blueprint.toml";
/// The end of the name of a TorchScript module.
pub(crate) const MODULE: &str = ".pt";

/// What such a file says of itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Head {
    pub(crate) blueprint: About,
    #[serde(default)]
    parameters: Map<String, Value>,
}

/// The `[blueprint]` table of a declared blueprint.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct About {
    pub(crate) id: String,
    pub(crate) summary: String,
    #[serde(default = "unversioned")]
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) topologies: Vec<String>,
    #[serde(default)]
    pub(crate) capabilities: Vec<String>,
    #[serde(default)]
    pub(crate) license: String,
    #[serde(default)]
    pub(crate) authors: Vec<String>,
}

fn unversioned() -> String {
    "0.0.0".to_owned()
}

fn ends_with(path: &Path, end: &str) -> bool {
    path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.ends_with(end) && n.len() > end.len())
}

pub(crate) fn is_declared(path: &Path) -> bool {
    ends_with(path, DECLARED)
}

pub(crate) fn is_module(path: &Path) -> bool {
    ends_with(path, MODULE)
}

/// The text that says what a module is.
pub(crate) fn sidecar(module: &Path) -> PathBuf {
    let mut path = module.as_os_str().to_owned();
    path.push(".toml");
    path.into()
}

pub(crate) fn refusal(path: &Path, found: &str) -> Refusal {
    Refusal {
        path: path.to_owned(),
        rule: Rule::Declaration,
        found: found.to_owned(),
        remedy:
            "docs/guide/declared.md says what may stand there; `kasmina schema blueprint` is its JSON Schema"
                .to_owned(),
    }
}

impl Head {
    /// The JSON Schema of its settings, from the defaults of its parameters.
    pub(crate) fn schema(&self) -> Value {
        let properties: Map<String, Value> = self
            .parameters
            .iter()
            .map(|(name, default)| {
                let kind = match default {
                    Value::Bool(_) => "boolean",
                    Value::Number(n) if n.is_f64() => "number",
                    Value::Number(_) => "integer",
                    _ => "string",
                };
                (name.clone(), json!({ "type": kind, "default": default }))
            })
            .collect();
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": self.blueprint.id,
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
        })
    }
}
