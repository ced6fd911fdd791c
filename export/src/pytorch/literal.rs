//! JSON values as Python source.

use serde_json::{Map, Value};
use std::fmt::Write as _;

/// Writes a value as a Python literal.
pub(super) fn literal(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        // JSON's numbers and strings are Python's too.
        Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(values) => format!("[{}]", joined(values.iter().map(literal))),
        Value::Object(map) => {
            let pair = |(key, value): (&String, &Value)| format!("{}: {}", string(key), literal(value));
            format!("{{{}}}", joined(map.iter().map(pair)))
        }
    }
}

/// Writes a text as a Python string.
pub(super) fn string(text: &str) -> String {
    Value::from(text).to_string()
}

/// Writes a map as keyword arguments, each after `, `. Keys that are no Python names are passed by `**`.
pub(super) fn keywords(map: &Map<String, Value>) -> String {
    let (named, other): (Map<_, _>, Map<_, _>) = map.clone().into_iter().partition(|(key, _)| is_name(key));
    let mut text = String::new();
    for (key, value) in &named {
        let _ = write!(text, ", {key}={}", literal(value));
    }
    if !other.is_empty() {
        let _ = write!(text, ", **{}", literal(&Value::Object(other)));
    }
    text
}

/// Whether a text can be the name of an argument.
pub(super) fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first == '_' || first.is_ascii_alphabetic())
        && chars.all(|c| c == '_' || c.is_ascii_alphanumeric())
        && !KEYWORDS.contains(&text)
}

/// Words that Python does not accept as names.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def",
    "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is",
    "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_python() {
        let value = json!({ "a": [1, -2.5, true, null], "b\"\n": "ü\u{0}" });
        assert_eq!(literal(&value), "{\"a\": [1, -2.5, True, None], \"b\\\"\\n\": \"ü\\u0000\"}");
        let config = json!({ "n_head": 4, "class": 1, "a-b": "c" });
        let config = config.as_object().unwrap();
        assert_eq!(keywords(config), ", n_head=4, **{\"a-b\": \"c\", \"class\": 1}");
        assert_eq!(keywords(&Map::new()), "");
    }
}
