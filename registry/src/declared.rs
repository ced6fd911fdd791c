//! Interpreted files: declared blueprints and TorchScript seeds. They are found, hashed, locked and listed
//! like other plugins, and the plugin [`INTERPRETER`] makes their seeds.
//!
//! This module contains their names and the header of their text; `declared_file` reads them.

use crate::error::{Refusal, Rule};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// Name of the plugin that interprets declared blueprints and TorchScript seeds.
pub const INTERPRETER: &str = "kasmina_declared";
/// Id of the interpreter's blueprint for declared blueprints.
pub(crate) const GRAPH: &str = "graph";
/// Id of the interpreter's blueprint for TorchScript seeds.
pub(crate) const TORCHSCRIPT: &str = "torchscript";
/// Suffix of the file names of declared blueprints.
pub(crate) const DECLARED: &str = ".blueprint.toml";
/// Suffix of the file names of TorchScript modules.
pub(crate) const MODULE: &str = ".pt";

/// The part of a declared blueprint or sidecar that the registry reads.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Head {
    pub(crate) blueprint: BlueprintTable,
    #[serde(default)]
    /// Default values of the settings, by name.
    parameters: Map<String, Value>,
}

/// The `[blueprint]` table of a declared blueprint.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct BlueprintTable {
    pub(crate) id: String,
    pub(crate) summary: String,
    #[serde(default = "default_version")]
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

fn default_version() -> String {
    "0.0.0".to_owned()
}

/// Whether a file name has a suffix and more than that.
fn has_suffix(path: &Path, suffix: &str) -> bool {
    path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.ends_with(suffix) && n.len() > suffix.len())
}

pub(crate) fn is_declared(path: &Path) -> bool {
    has_suffix(path, DECLARED)
}

pub(crate) fn is_module(path: &Path) -> bool {
    has_suffix(path, MODULE)
}

/// Returns the path of a module's sidecar, which describes its blueprint.
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
            "docs/guide/declared.md describes the format; `kasmina schema blueprint` prints its JSON Schema"
                .to_owned(),
    }
}

impl Head {
    /// Returns the JSON Schema of the configuration, derived from the default values of the parameters.
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
