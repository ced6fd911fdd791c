//! Bounds of settings, declared by the JSON schema of their type, so that `kasmina schema` shows exactly the
//! bounds that are enforced.

use jsonschema::Validator;
use jsonschema::error::{ValidationError, ValidationErrorKind};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A setting that is out of its bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {reason}")]
pub struct SettingsError {
    /// Path of the setting, such as `gates.min_contribution`.
    pub field: String,
    /// What is wrong with the value and what is allowed, for people.
    pub reason: String,
}

impl SettingsError {
    pub(super) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}

/// Checks settings against the bounds that the JSON schema of their type declares. A number that is NaN or
/// infinite is refused wherever a number is required; in an optional field it counts as absent.
///
/// # Errors
/// Returns the first setting that is out of its bounds.
pub fn check_bounds<T: JsonSchema + Serialize + 'static>(settings: &T) -> Result<(), SettingsError> {
    let unusable = |error: &dyn std::fmt::Display| SettingsError::new("settings", error.to_string());
    let value = serde_json::to_value(settings).map_err(|e| unusable(&e))?;
    let validator = validator::<T>().map_err(|e| unusable(&e))?;
    match validator.iter_errors(&value).next() {
        None => Ok(()),
        Some(error) => Err(settings_error(&error)),
    }
}

/// Returns the validator of a type's schema, which is built once in a process.
fn validator<T: JsonSchema + 'static>() -> Result<Arc<Validator>, ValidationError<'static>> {
    static VALIDATORS: Mutex<Option<HashMap<TypeId, Arc<Validator>>>> = Mutex::new(None);
    let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    let validators = validators.get_or_insert_with(HashMap::new);
    if let Some(validator) = validators.get(&TypeId::of::<T>()) {
        return Ok(Arc::clone(validator));
    }
    let validator = Arc::new(jsonschema::validator_for(schemars::schema_for!(T).as_value())?);
    validators.insert(TypeId::of::<T>(), Arc::clone(&validator));
    Ok(validator)
}

/// Converts an error of the validator to a setting and a reason for people.
fn settings_error(error: &ValidationError<'_>) -> SettingsError {
    use ValidationErrorKind::{
        AnyOf, Enum, ExclusiveMaximum, ExclusiveMinimum, Maximum, Minimum, OneOfNotValid, Type,
    };
    let value = format_value(error.instance());
    let reason = match error.kind() {
        // Of several alternatives, report the error of the one that has the value's type.
        AnyOf { context } | OneOfNotValid { context } => {
            let right_type = context.iter().flatten().find(|inner| !matches!(inner.kind(), Type { .. }));
            match right_type {
                Some(inner) => return settings_error(inner),
                None => error.to_string(),
            }
        }
        Minimum { limit } => format!("{value} is not at least {}", format_value(limit)),
        Maximum { limit } => format!("{value} is not at most {}", format_value(limit)),
        ExclusiveMinimum { limit } => format!("{value} is not above {}", format_value(limit)),
        ExclusiveMaximum { limit } => format!("{value} is not below {}", format_value(limit)),
        Enum { options } => {
            let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
            let options: Vec<String> = options.iter().map(format_value).collect();
            format!("{value} is not one of {}", options.join(", "))
        }
        // Serialized to JSON, a number that is not finite becomes null.
        Type { .. } if error.instance().is_null() => "it is not a finite number".to_owned(),
        _ => error.to_string(),
    };
    SettingsError::new(setting_path(error.instance_path().as_str()), reason)
}

/// Formats a value as people write it: whole numbers without a point, texts without quotes.
fn format_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => number.as_f64().unwrap_or(f64::NAN).to_string(),
        other => other.to_string(),
    }
}

/// Converts a JSON pointer, `/preinstalled/0/epoch`, to the path of a setting, `preinstalled[0].epoch`.
fn setting_path(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').filter(|part| !part.is_empty()) {
        if part.bytes().all(|b| b.is_ascii_digit()) {
            path.extend(["[", part, "]"]);
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path += part;
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, JsonSchema, Clone, Default)]
    struct Inner {
        #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
        fraction: f64,
    }

    #[derive(Serialize, JsonSchema, Clone)]
    struct Outer {
        #[schemars(range(min = 1, max = 9))]
        count: u32,
        #[schemars(range(min = 1))]
        optional: Option<u32>,
        all: Vec<Inner>,
        #[schemars(extend("items" = { "enum": ["a", "b"] }))]
        names: Vec<String>,
        any: f64,
    }

    fn good() -> Outer {
        let all = vec![Inner { fraction: 1.0 }, Inner { fraction: 0.5 }];
        Outer { count: 1, optional: None, all, names: vec!["a".to_owned()], any: -1e300 }
    }

    fn refused(change: impl FnOnce(&mut Outer)) -> String {
        let mut settings = good();
        change(&mut settings);
        check_bounds(&settings).map_err(|error| error.to_string()).unwrap_err()
    }

    #[test]
    fn what_the_schema_declares_is_enforced() {
        assert_eq!(check_bounds(&good()), Ok(()));
        let all = [
            refused(|s| s.count = 0),
            refused(|s| s.count = 10),
            refused(|s| s.optional = Some(0)),
            refused(|s| s.all[1].fraction = 0.0),
            refused(|s| s.all[1].fraction = 1.5),
            refused(|s| s.all[0].fraction = f64::NAN),
            refused(|s| s.names.push("c".to_owned())),
            refused(|s| s.any = f64::INFINITY),
        ];
        insta::assert_snapshot!(all.join("\n"));
    }
}
