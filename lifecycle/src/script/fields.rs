//! Reading of JSON objects field by field, so that every error names the path of its value.

use crate::any_number;
use serde_json::{Map, Value};

/// Error of a script that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// The text is not JSON; contains the parser's message.
    #[error("the script is not JSON: {0}")]
    Json(String),
    /// A field is wrong, missing or unknown.
    #[error("`{path}`: {reason}")]
    Field {
        /// Path of the value in the script, such as `ops[3].accuracy`.
        path: String,
        /// What is wrong with the value and what is allowed.
        reason: String,
    },
}

pub(super) type Result<T> = std::result::Result<T, ScriptError>;

/// A value and its path.
pub(super) struct Field {
    path: String,
    value: Value,
}

/// An object whose fields are removed as they are read. Those left at the end are unknown.
pub(super) struct Fields {
    path: String,
    map: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Field {
    pub(super) fn root(value: Value) -> Self {
        Self { path: String::new(), value }
    }

    pub(super) fn wrong(&self, reason: impl Into<String>) -> ScriptError {
        let path = if self.path.is_empty() { "(the script)".to_owned() } else { self.path.clone() };
        ScriptError::Field { path, reason: reason.into() }
    }

    fn mistyped(&self, wanted: &str) -> ScriptError {
        let found = match &self.value {
            Value::Null => "null".to_owned(),
            Value::Array(_) => "an array".to_owned(),
            Value::Object(_) => "an object".to_owned(),
            other => other.to_string(),
        };
        self.wrong(format!("it must be {wanted}, not {found}"))
    }

    pub(super) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    pub(super) fn is_object(&self) -> bool {
        self.value.is_object()
    }

    pub(super) fn object(self) -> Result<Fields> {
        match self.value {
            Value::Object(map) => Ok(Fields { path: self.path, map, known: Vec::new() }),
            _ => Err(self.mistyped("an object")),
        }
    }

    pub(super) fn array(self) -> Result<Vec<Self>> {
        let Value::Array(values) = self.value else { return Err(self.mistyped("an array")) };
        let item = |(i, value)| Self { path: format!("{}[{i}]", self.path), value };
        Ok(values.into_iter().enumerate().map(item).collect())
    }

    pub(super) fn text(self) -> Result<String> {
        match self.value {
            Value::String(text) => Ok(text),
            _ => Err(self.mistyped("a string")),
        }
    }

    pub(super) fn boolean(self) -> Result<bool> {
        self.value.as_bool().ok_or_else(|| self.mistyped("true or false"))
    }

    /// Reads a finite number.
    pub(super) fn number(self) -> Result<f64> {
        self.value.as_f64().ok_or_else(|| self.mistyped("a number"))
    }

    /// Reads a number, or one of the three names for numbers that JSON does not have.
    pub(super) fn any_number(self) -> Result<f64> {
        any_number::deserialize(&self.value)
            .map_err(|_| self.mistyped(r#"a number, "NaN", "Infinity" or "-Infinity""#))
    }

    /// Reads a 32-bit unsigned integer, also if it is written as a float, such as `3.0` or `3e2`.
    pub(super) fn count(self) -> Result<u32> {
        let wanted = "an integer from 0 to 4294967295";
        let from_float =
            |n: f64| (n.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&n)).then_some(n as u32);
        let from_integer = |n: u64| u32::try_from(n).ok();
        let float = || self.value.as_f64().and_then(from_float);
        self.value.as_u64().map_or_else(float, from_integer).ok_or_else(|| self.mistyped(wanted))
    }

    pub(super) fn count_as_u64(self) -> Result<u64> {
        self.count().map(u64::from)
    }

    /// Reads one of the names `known`, which `find` resolves. `what` says in the error what is named.
    pub(super) fn one_of<T>(
        self,
        what: &str,
        known: &[&str],
        find: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T> {
        let Value::String(name) = &self.value else {
            return Err(self.mistyped(&format!("one of {}", known.join(", "))));
        };
        find(name).ok_or_else(|| {
            self.wrong(format!("there is no {what} `{name}`; it must be one of {}", known.join(", ")))
        })
    }
}

impl Fields {
    fn path_of(&self, name: &str) -> String {
        // A name may contain line breaks, but the path must be one line.
        let name = name.escape_debug();
        if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn optional(&mut self, name: &'static str) -> Option<Field> {
        self.known.push(name);
        let value = self.map.remove(name)?;
        Some(Field { path: self.path_of(name), value })
    }

    pub(super) fn required(&mut self, name: &'static str) -> Result<Field> {
        self.optional(name).ok_or_else(|| ScriptError::Field {
            path: self.path_of(name),
            reason: "it is missing".to_owned(),
        })
    }

    /// Sets `place` to the value of a field, if the field is present.
    pub(super) fn set<T>(
        &mut self,
        name: &'static str,
        place: &mut T,
        read: impl FnOnce(Field) -> Result<T>,
    ) -> Result<()> {
        if let Some(field) = self.optional(name) {
            *place = read(field)?;
        }
        Ok(())
    }

    /// Refuses fields that were not read.
    pub(super) fn finish(self) -> Result<()> {
        let Some(name) = self.map.keys().next() else { return Ok(()) };
        let reason = format!("unknown field; the known fields are {}", self.known.join(", "));
        Err(ScriptError::Field { path: self.path_of(name), reason })
    }

    /// Creates an error about one of the object's fields.
    pub(super) fn wrong(&self, name: &str, reason: String) -> ScriptError {
        ScriptError::Field { path: self.path_of(name), reason }
    }
}
