//! Blueprints that no compiler has seen: files that a plugin interprets, found, hashed, locked and listed like any
//! plugin.
//!
//! Only what a listing needs is read here. Everything else is the interpreter's to judge, when the file is loaded.

use crate::error::{Refusal, Rule};
use crate::manifest::{self, Form, Glance};
use kasmina_plugin_api::record::{EntryRecord, PluginRecord};
use kasmina_plugin_api::{ABI_VERSION, Capability, Kind, TARGET, TORCH_VERSION};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The plugin that interprets.
pub const INTERPRETER: &str = "kasmina_declared";
/// Its blueprint for declared graphs.
pub(crate) const GRAPH: &str = "graph";
/// Its blueprint for TorchScript modules.
pub(crate) const TORCHSCRIPT: &str = "torchscript";
const DECLARED: &str = ".blueprint.toml";
const MODULE: &str = ".pt";

/// What such a file says of itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Head {
    blueprint: About,
    #[serde(default)]
    parameters: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct About {
    id: String,
    summary: String,
    #[serde(default = "unversioned")]
    version: String,
    #[serde(default)]
    topologies: Vec<String>,
    #[serde(default)]
    capabilities: Vec<String>,
    #[serde(default)]
    license: String,
    #[serde(default)]
    authors: Vec<String>,
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

/// A declared blueprint.
pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Glance, Refusal> {
    let text = text_of(path, bytes)?;
    let head = head_of(path, text)?;
    Ok(glance(path, DECLARED, head.clone(), Form::Declared(head)))
}

/// A module with its sidecar. One without is none of our business, unless it was named.
pub(crate) fn read_module(path: &Path) -> Result<Result<Glance, Refusal>, Refusal> {
    let beside = sidecar(path);
    if !beside.exists() {
        return Ok(Err(Refusal {
            path: path.to_owned(),
            rule: Rule::Records,
            found: format!(
                "a TorchScript module is a plugin by its sidecar, and there is no {}",
                beside.display()
            ),
            remedy: "write one; docs/guide/declared.md says what stands there".to_owned(),
        }));
    }
    let bytes = manifest::read(&beside)?;
    let sidecar = text_of(&beside, &bytes)?.to_owned();
    let head = head_of(&beside, &sidecar)?;
    Ok(Ok(glance(path, MODULE, head.clone(), Form::Module { head, sidecar })))
}

fn text_of<'b>(path: &Path, bytes: &'b [u8]) -> Result<&'b str, Refusal> {
    std::str::from_utf8(bytes).map_err(|e| refusal(path, &format!("it is not UTF-8 ({e})")))
}

fn head_of(path: &Path, text: &str) -> Result<Head, Refusal> {
    toml::from_str(text).map_err(|e| {
        let place = e.span().map_or_else(String::new, |span| {
            let before = &text[..span.start.min(text.len())];
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            format!("line {line}, column {column}: ")
        });
        refusal(path, &format!("{place}{}", e.message()))
    })
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

fn glance(path: &Path, end: &str, head: Head, form: Form) -> Glance {
    let file = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let about = head.blueprint;
    let mut capabilities = about.capabilities;
    // Its interpreter's own say.
    let waits = Capability::NotCapturable.as_str();
    if matches!(form, Form::Module { .. }) && !capabilities.iter().any(|c| c == waits) {
        capabilities.push(waits.to_owned());
    }
    let entry = EntryRecord {
        kind: Kind::Blueprint.as_str().to_owned(),
        id: about.id,
        summary: about.summary,
        topologies: about.topologies,
        capabilities,
        state_version: 1,
        package: INTERPRETER.to_owned(),
    };
    let plugin = PluginRecord {
        name: file.strip_suffix(end).unwrap_or(file).replace(['-', '.', ' '], "_"),
        version: about.version,
        license: about.license,
        authors: about.authors.join(":"),
        // It is text: what interprets it is what has to fit.
        abi: ABI_VERSION.to_owned(),
        target: TARGET.to_owned(),
        panic: "unwind".to_owned(),
        profile: "interpreted".to_owned(),
        rustc: String::new(),
        torch: TORCH_VERSION.to_owned(),
        entry_symbol: String::new(),
        host: "*".to_owned(),
    };
    Glance { plugin, entries: vec![entry], form }
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
