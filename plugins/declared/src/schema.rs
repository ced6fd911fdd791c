//! Documentation generated from the table of operations: a JSON Schema for editors, and the guide's
//! reference.

use crate::header::{CAPABILITIES, KEYS};
use crate::layer::RESIDUAL;
use crate::ops::{COMMON, Default, Key, OPS, Op, Takes};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Returns the JSON Schema of a declared blueprint (`NAME.blueprint.toml`).
pub fn document() -> Value {
    let layers: Vec<Value> = OPS.iter().map(layer).collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A Kasmina blueprint file",
        "type": "object",
        "required": ["blueprint", "layer"],
        "additionalProperties": false,
        "properties": {
            "blueprint": blueprint(),
            "parameters": {
                "description": "The settings of the blueprint, with their defaults",
                "type": "object",
                "additionalProperties": { "type": ["integer", "number", "boolean"] },
                "propertyNames": { "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" },
            },
            "layer": {
                "description": "The layers, in any order",
                "type": "array",
                "minItems": 1,
                "items": { "oneOf": layers },
            },
            "output": {
                "description": "How the seed's output is computed",
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "from": { "type": "string", "description": "Name of the layer whose output is used; the last layer in the file if absent" },
                    "residual": {
                        "enum": RESIDUAL,
                        "default": "none",
                        "description": "`add`: the layer's output is added to the slot's features; `none`: it replaces them",
                    },
                    "gain": {
                        "type": ["number", "string"],
                        "description": "Value at birth of a learned gain; with 0 the seed is the identity at birth",
                    },
                },
            },
        },
    })
}

fn blueprint() -> Value {
    let text = |about: &str| json!({ "type": "string", "description": about });
    let properties: Map<String, Value> = KEYS
        .into_iter()
        .map(|key| {
            let schema = match key {
                "id" => json!({ "type": "string", "pattern": "^[a-z0-9_-]+$", "description": "Name of the blueprint" }),
                "summary" => text("One line for listings"),
                "version" => text("A semantic version"),
                "topologies" => json!({
                    "type": "array",
                    "items": { "enum": ["cnn", "transformer"] },
                    "description": "Topologies that it serves; all that its layers support if absent",
                }),
                "capabilities" => json!({
                    "type": "array",
                    "items": { "enum": CAPABILITIES },
                    "description": "Capabilities that it declares",
                }),
                "authors" => json!({ "type": "array", "items": { "type": "string" } }),
                _ => json!({ "type": "string" }),
            };
            (key.to_owned(), schema)
        })
        .collect();
    json!({
        "type": "object",
        "required": ["id", "summary"],
        "additionalProperties": false,
        "properties": properties,
    })
}

fn layer(op: &Op) -> Value {
    let mut properties = Map::new();
    properties.insert("op".to_owned(), json!({ "enum": op.names, "description": op.about }));
    properties.insert("name".to_owned(), json!({ "type": "string", "pattern": "^[A-Za-z0-9_]+$" }));
    let several = json!({
        "type": "array",
        "items": { "type": "string" },
        "minItems": 2,
        "description": "Its inputs: names of layers, or \"input\"",
    });
    let one = json!({
        "type": "string",
        "description": "Its input: the name of a layer, or \"input\"; the layer above if absent",
    });
    let from = if op.several { several } else { one };
    properties.insert("from".to_owned(), from);
    let mut required = vec!["op"];
    if op.several {
        required.push("from");
    }
    for key in op.keys {
        properties.insert(key.name.to_owned(), key_schema(key));
        if matches!(key.default, Default::Required) {
            required.push(key.name);
        }
    }
    json!({
        "title": op.name(),
        "type": "object",
        "required": required,
        "additionalProperties": false,
        "properties": properties,
    })
}

fn key_schema(key: &Key) -> Value {
    let mut schema = match key.takes {
        Takes::Whole => json!({ "type": ["integer", "string"] }),
        Takes::Number => json!({ "type": ["number", "string"] }),
        Takes::Flag => json!({ "type": ["boolean", "string"] }),
        Takes::Word(words) => json!({ "enum": words }),
    };
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".to_owned(), key.about.into());
        if let Default::Is(text) = key.default {
            // Defaults that are numbers or booleans are written as such; expressions are strings.
            let value = serde_json::from_str(text).unwrap_or_else(|_| text.into());
            schema.insert("default".to_owned(), value);
        }
    }
    schema
}

/// Returns the guide's reference of operations as Markdown.
pub fn reference() -> String {
    let mut text = String::from("| op | works on | shapes | what it does |\n|---|---|---|---|\n");
    for op in OPS {
        let names: Vec<String> = op.names.iter().map(|name| format!("`{name}`")).collect();
        let on = match (op.maps, op.sequences) {
            (true, true) => "both",
            (true, false) => "`cnn`",
            (false, _) => "`transformer`",
        };
        let _ = writeln!(text, "| {} | {on} | {} | {} |", names.join(", "), op.shape, op.about);
    }
    let common = COMMON.map(|key| format!("`{key}`")).join(", ");
    let _ = write!(text, "\nEvery layer takes {common}. Besides these:\n\n");
    text.push_str("| op | key | takes | default | what it is |\n|---|---|---|---|---|\n");
    for (op, key) in OPS.iter().flat_map(|op| op.keys.iter().map(move |key| (op, key))) {
        let takes = match key.takes {
            Takes::Whole => "expression".to_owned(),
            Takes::Number => "number".to_owned(),
            Takes::Flag => "boolean".to_owned(),
            Takes::Word(words) => words.iter().map(|w| format!("`\"{w}\"`")).collect::<Vec<_>>().join(", "),
        };
        let default = match (key.default, key.takes) {
            (Default::Required, _) => "none; required".to_owned(),
            (Default::Auto(text), _) => text.to_owned(),
            (Default::Is(text), Takes::Word(_)) => format!("`\"{text}\"`"),
            (Default::Is(text), Takes::Whole) if text.parse::<i64>().is_err() => format!("`\"{text}\"`"),
            (Default::Is(text), _) => format!("`{text}`"),
        };
        let _ = writeln!(text, "| `{}` | `{}` | {takes} | {default} | {} |", op.name(), key.name, key.about);
    }
    text
}
