//! What a person needs of a configuration's JSON Schema.

use serde_json::Value;

/// A setting of an entry, as its schema describes it.
pub(super) struct Setting {
    pub(super) name: String,
    /// Its type in a few words, with its bounds.
    pub(super) kind: String,
    pub(super) default: String,
    pub(super) meaning: String,
}

/// The settings of a schema, by name.
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

/// The type of a property in a few words, with its bounds.
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
    let name = match property.get("type") {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | "),
        _ => "any".to_owned(),
    };
    let bound = |key: &str| property.get(key).filter(|v| v.is_number()).map(ToString::to_string);
    match (bound("minimum"), bound("maximum")) {
        (None, None) => name,
        (Some(low), None) => format!("{name}, {low} or more"),
        (None, Some(high)) => format!("{name}, {high} at most"),
        (Some(low), Some(high)) => format!("{name}, {low} to {high}"),
    }
}
