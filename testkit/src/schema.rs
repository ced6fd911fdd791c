//! A validator for the part of JSON Schema that `schemars` generates. Unknown keywords are ignored.

use serde_json::{Map, Value};

/// Checks that a schema is well formed. Returns the first fault.
pub(crate) fn well_formed(schema: &Value) -> Result<(), String> {
    let Value::Object(object) = schema else {
        return if schema.is_boolean() { Ok(()) } else { Err(format!("{schema} is not a schema")) };
    };
    for word in ["properties", "$defs", "definitions"] {
        let Some(parts) = object.get(word) else { continue };
        let Value::Object(parts) = parts else { return Err(format!("`{word}` is not an object")) };
        for (name, part) in parts {
            well_formed(part).map_err(|why| format!("{word}.{name}: {why}"))?;
        }
    }
    for word in ["anyOf", "oneOf", "allOf"] {
        let Some(parts) = object.get(word) else { continue };
        let Value::Array(parts) = parts else { return Err(format!("`{word}` is not a list")) };
        parts.iter().try_for_each(well_formed).map_err(|why| format!("{word}: {why}"))?;
    }
    if let Some(required) = object.get("required")
        && !required.as_array().is_some_and(|names| names.iter().all(Value::is_string))
    {
        return Err("`required` is not a list of names".to_owned());
    }
    match object.get("type") {
        None | Some(Value::String(_) | Value::Array(_)) => Ok(()),
        Some(other) => Err(format!("`type` is {other}")),
    }
}

/// Returns the first reason why a value is not valid by a schema, or `None` if it is valid. `root` resolves
/// references.
pub(crate) fn violation(root: &Value, schema: &Value, value: &Value) -> Option<String> {
    let object = match schema {
        Value::Bool(false) => return Some("nothing is allowed here".to_owned()),
        Value::Object(object) => object,
        _ => return None,
    };
    if let Some(target) = object.get("$ref").and_then(Value::as_str) {
        let target = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        if let Some(found) = target.and_then(|target| violation(root, target, value)) {
            return Some(found);
        }
    }
    kind(object, value)
        .or_else(|| constant_or_enum(object, value))
        .or_else(|| range(object, value))
        .or_else(|| length(object, value))
        .or_else(|| combined(root, object, value))
        .or_else(|| members(root, object, value))
}

fn kind(schema: &Map<String, Value>, value: &Value) -> Option<String> {
    let fits = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    };
    let names: Vec<&str> = match schema.get("type")? {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    if names.iter().any(|name| fits(name)) {
        None
    } else {
        Some(format!("{value} is not of type {}", names.join(" or ")))
    }
}

fn constant_or_enum(schema: &Map<String, Value>, value: &Value) -> Option<String> {
    if let Some(only) = schema.get("const")
        && only != value
    {
        return Some(format!("{value} is not {only}"));
    }
    let choices = schema.get("enum")?.as_array()?;
    if choices.contains(value) { None } else { Some(format!("{value} is not one of {choices:?}")) }
}

fn range(schema: &Map<String, Value>, value: &Value) -> Option<String> {
    let number = value.as_f64()?;
    let bound = |word: &str| schema.get(word).and_then(Value::as_f64);
    let outside = [
        bound("minimum").filter(|bound| number < *bound),
        bound("maximum").filter(|bound| number > *bound),
        bound("exclusiveMinimum").filter(|bound| number <= *bound),
        bound("exclusiveMaximum").filter(|bound| number >= *bound),
    ];
    outside.into_iter().flatten().next().map(|bound| format!("{value} is beyond the bound {bound}"))
}

fn length(schema: &Map<String, Value>, value: &Value) -> Option<String> {
    let (size, least, most) = match value {
        Value::String(text) => (text.chars().count(), "minLength", "maxLength"),
        Value::Array(items) => (items.len(), "minItems", "maxItems"),
        _ => return None,
    };
    let bound = |word: &str| schema.get(word).and_then(Value::as_u64).map(|n| n as usize);
    let fits = bound(least).is_none_or(|n| size >= n) && bound(most).is_none_or(|n| size <= n);
    if fits { None } else { Some(format!("{value} has length {size}")) }
}

fn combined(root: &Value, schema: &Map<String, Value>, value: &Value) -> Option<String> {
    let list = |word: &str| schema.get(word).and_then(Value::as_array);
    let broken = |part: &Value| violation(root, part, value);
    if let Some(found) = list("allOf").and_then(|all| all.iter().find_map(broken)) {
        return Some(found);
    }
    for word in ["anyOf", "oneOf"] {
        if let Some(any) = list(word)
            && any.iter().all(|part| broken(part).is_some())
        {
            return any.first().and_then(broken);
        }
    }
    None
}

fn members(root: &Value, schema: &Map<String, Value>, value: &Value) -> Option<String> {
    if let (Value::Array(items), Some(each)) = (value, schema.get("items")) {
        return items.iter().find_map(|item| violation(root, each, item));
    }
    let Value::Object(fields) = value else { return None };
    let required = schema.get("required").and_then(Value::as_array);
    if let Some(name) =
        required.into_iter().flatten().filter_map(Value::as_str).find(|name| !fields.contains_key(*name))
    {
        return Some(format!("`{name}` is required"));
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, field) in fields {
        match (properties.and_then(|p| p.get(name)), schema.get("additionalProperties")) {
            (Some(property), _) => {
                if let Some(found) = violation(root, property, field) {
                    return Some(format!("{name}: {found}"));
                }
            }
            (None, Some(rest)) => {
                if let Some(found) = violation(root, rest, field) {
                    return Some(format!("{name}: {found}"));
                }
            }
            (None, None) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schema_of_schemars_is_applied() {
        let schema = json!({
            "type": "object",
            "properties": {
                "width": { "type": "integer", "minimum": 1, "maximum": 8 },
                "format": { "$ref": "#/$defs/Format" },
                "pool": { "type": ["integer", "null"] },
                "after": { "type": "array", "items": { "type": "integer" }, "maxItems": 2 },
            },
            "required": ["width"],
            "additionalProperties": false,
            "$defs": { "Format": { "oneOf": [{ "const": "last" }, { "enum": ["first"] }] } },
        });
        assert_eq!(well_formed(&schema), Ok(()));
        let judge = |value| violation(&schema, &schema, &value);
        assert_eq!(judge(json!({ "width": 2, "format": "last", "pool": null, "after": [1] })), None);
        for bad in [
            json!("text"),
            json!({}),
            json!({ "width": 0 }),
            json!({ "width": 9 }),
            json!({ "width": 1.5 }),
            json!({ "width": 2, "format": "middle" }),
            json!({ "width": 2, "pool": "x" }),
            json!({ "width": 2, "after": ["x"] }),
            json!({ "width": 2, "after": [1, 2, 3] }),
            json!({ "width": 2, "other": 1 }),
        ] {
            assert!(judge(bad.clone()).is_some(), "{bad}");
        }
        assert!(well_formed(&json!({ "properties": 3 })).is_err());
        assert!(well_formed(&json!("text")).is_err());
    }
}
