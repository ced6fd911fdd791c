//! The tables `[blueprint]` and `[parameters]`, which all declared blueprints have.

use crate::expr::FUNCTIONS;
use crate::reader::{At, Reader, integer, kind, number};
use crate::source::{Fault, Result, Source, Span, listed, suggestion};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// Keys of the `[blueprint]` table.
pub(crate) const KEYS: [&str; 7] =
    ["id", "version", "summary", "topologies", "capabilities", "license", "authors"];

/// Capabilities that a declared blueprint may have.
pub(crate) const CAPABILITIES: [&str; 3] = ["identity_at_birth", "stochastic", "not_capturable"];

/// Limit on the bytes of a document.
const MAX_LENGTH: usize = 1 << 20;

/// The part of the `[blueprint]` table that building a seed depends on.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) id: String,
    /// Declared topologies with their places; `None` for all that the layers support.
    pub(crate) topologies: Option<Vec<At<String>>>,
    capabilities: Vec<At<String>>,
}

impl Header {
    pub(crate) fn read(root: &Reader<'_>) -> Result<Self> {
        let Some((table, at)) = root.table("blueprint")? else {
            return Err(Fault::whole("there is no [blueprint] table; it needs `id` and `summary`"));
        };
        let reader = Reader::new(table, "[blueprint]");
        reader.refuse_other_keys(&KEYS)?;
        let needed = |key: &str| match reader.text(key)? {
            Some(text) => Ok(text),
            None => Err(Fault::at(&at, format!("[blueprint] has no `{key}`"))),
        };
        let id = needed("id")?;
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if id.value.is_empty() || !id.value.chars().all(good) {
            let text =
                format!("the id \"{}\" is not made of lower-case letters, digits, `_` and `-`", id.value);
            return Err(Fault::at(&id.at, text));
        }
        needed("summary")?;
        reader.text("version")?;
        reader.text("license")?;
        reader.texts("authors")?;
        let owned = |texts: Vec<At<&str>>| -> Vec<At<String>> {
            texts.into_iter().map(|t| At { value: t.value.to_owned(), at: t.at }).collect()
        };
        let topologies = reader.texts("topologies")?.map(owned).filter(|named| !named.is_empty());
        let capabilities = reader.texts("capabilities")?.map(owned).unwrap_or_default();
        if let Some(unknown) = capabilities.iter().find(|c| !CAPABILITIES.contains(&c.value.as_str())) {
            let hint = suggestion(&unknown.value, CAPABILITIES, "a blueprint may have");
            let text = format!("there is no capability `{}`{hint}", unknown.value);
            return Err(Fault::at(&unknown.at, text));
        }
        Ok(Self { id: id.value.to_owned(), topologies, capabilities })
    }

    /// Returns the place where a capability is declared, if it is.
    pub(crate) fn declares(&self, capability: &str) -> Option<&Span> {
        self.capabilities.iter().find(|c| c.value == capability).map(|c| &c.at)
    }

    /// Whether the header allows a topology.
    pub(crate) fn serves(&self, topology: &str) -> bool {
        self.topologies.as_ref().is_none_or(|named| named.iter().any(|t| t.value == topology))
    }

    /// Returns the declared topologies as text for a message.
    pub(crate) fn served(&self) -> String {
        listed(self.topologies.iter().flatten().map(|t| t.value.as_str()))
    }
}

/// Parses the TOML of a document. Errors contain the TOML parser's message.
pub(crate) fn toml(source: &Source) -> Result<DeTable<'_>> {
    if source.text().len() > MAX_LENGTH {
        return Err(Fault::whole(format!("the document is longer than {MAX_LENGTH} bytes")));
    }
    DeTable::parse(source.text()).map(toml::Spanned::into_inner).map_err(|error| {
        let text = format!("this is not TOML: {}", error.message().trim().replace('\n', ", "));
        error.span().map_or_else(|| Fault::whole(text.clone()), |at| Fault::at(&at, text.clone()))
    })
}

/// The value of a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Parameter {
    Whole(i64),
    Number(f64),
    Flag(bool),
}

impl Parameter {
    /// Returns the name of the type, with an article, for messages.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Whole(_) => "an integer",
            Self::Number(_) => "a float",
            Self::Flag(_) => "a boolean",
        }
    }

    /// Returns a parameter with the user's value, or `None` if it does not have the type of the default
    /// `self`.
    fn set(self, value: &Value) -> Option<Self> {
        match self {
            Self::Whole(_) => value.as_i64().map(Self::Whole),
            Self::Number(_) => value.as_f64().filter(|n| n.is_finite()).map(Self::Number),
            Self::Flag(_) => value.as_bool().map(Self::Flag),
        }
    }
}

/// The parameters by name, with the user's values or the defaults.
pub(crate) type Parameters = BTreeMap<String, Parameter>;

/// Reads `[parameters]` and replaces defaults by the user's settings.
pub(crate) fn parameters(root: &Reader<'_>, settings: &Map<String, Value>) -> Result<Parameters> {
    let mut parameters = Parameters::new();
    if let Some((table, _)) = root.table("parameters")? {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let name = key.get_ref().as_ref();
            check_name(name).map_err(|text| Fault::at(&key.span(), text))?;
            let parameter = match value.get_ref() {
                DeValue::Boolean(flag) => Some(Parameter::Flag(*flag)),
                DeValue::Integer(_) => integer(value)?.map(Parameter::Whole),
                _ => number(value)?.map(Parameter::Number),
            };
            let Some(parameter) = parameter else {
                let is = kind(value.get_ref());
                let text =
                    format!("the parameter `{name}` is {is}; it must be an integer, a float or a boolean");
                return Err(Fault::at(&value.span(), text));
            };
            parameters.insert(name.to_owned(), parameter);
        }
    }
    for (name, value) in settings {
        let Some(default) = parameters.get(name).copied() else {
            let hint = suggestion(name, parameters.keys().map(String::as_str), "it has");
            return Err(Fault::whole(format!("the blueprint has no parameter `{name}`{hint}")));
        };
        let Some(set) = default.set(value) else {
            let text = format!("the parameter `{name}` is set to {value}; it must be {}", default.kind());
            return Err(Fault::whole(text));
        };
        parameters.insert(name.clone(), set);
    }
    Ok(parameters)
}

/// Refuses a name of a parameter that cannot be used in an expression.
fn check_name(name: &str) -> Result<(), String> {
    let begins = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !begins || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("\"{name}\" is not a valid parameter name; use letters, digits and `_`"));
    }
    if FUNCTIONS.contains(&name) || ["C", "in"].contains(&name) {
        return Err(format!("`{name}` has a meaning in expressions; give the parameter another name"));
    }
    Ok(())
}
