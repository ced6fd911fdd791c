//! Summarizes the JSON Schema of a configuration for tables.

use serde_json::Value;

/// A setting of an entry, as described by its schema.
pub(super) struct Setting {
    pub(super) name: String,
    /// Short description of the type and its bounds.
    pub(super) kind: String,
    pub(super) default: String,
    pub(super) meaning: String,
}

/// Returns the settings of a schema.
pub(super) fn of(schema: &Value) -> Vec<Setting> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let setting = |(name, property): (&String, &Value)| Setting {
        name: name.clone(),
        kind: type_of(property, schema),
        default: property.get("default").map_or_else(|| "-".to_owned(), ToString::to_string),
        meaning: property.get("description").and_then(Value::as_str).unwrap_or("-").replace('\n', " "),
    };
    properties.into_iter().flatten().map(setting).collect()
}

/// Describes the type of a property and its bounds.
fn type_of(property: &Value, schema: &Value) -> String {
    if let Some(name) = property.get("$ref").and_then(Value::as_str) {
        let pointer = name.trim_start_matches('#');
        return schema.pointer(pointer).map_or_else(|| name.to_owned(), |meant| type_of(meant, schema));
    }
    if let Some(options) = property.get("enum").and_then(Value::as_array) {
        let names: Vec<String> = options.iter().map(ToString::to_string).collect();
        return names.join(" | ");
    }
    if let Some(options) = property.get("oneOf").or_else(|| property.get("anyOf")).and_then(Value::as_array) {
        let names: Vec<String> = options
            .iter()
            .map(|o| o.get("const").map_or_else(|| type_of(o, schema), ToString::to_string))
            .collect();
        return names.join(" | ");
    }
    let type_name = match property.get("type") {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | "),
        _ => "any".to_owned(),
    };
    let bound = |key: &str| property.get(key).filter(|v| v.is_number()).map(ToString::to_string);
    match (bound("minimum"), bound("maximum")) {
        (None, None) => type_name,
        (Some(low), None) => format!("{type_name}, {low} or more"),
        (None, Some(high)) => format!("{type_name}, {high} at most"),
        (Some(low), Some(high)) => format!("{type_name}, {low} to {high}"),
    }
}
