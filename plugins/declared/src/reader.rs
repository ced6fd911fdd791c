//! Typed reading of TOML values with their places, so that messages can refer to them.

use crate::source::{Fault, Result, Span, listed, suggestion};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table that is read, with its name in messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    table: &'a DeTable<'a>,
    what: &'a str,
}

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) at: Span,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(table: &'a DeTable<'a>, what: &'a str) -> Self {
        Self { table, what }
    }

    /// Refuses keys other than `known`. The error is about the first in the text.
    pub(crate) fn refuse_other_keys(&self, known: &[&str]) -> Result<()> {
        let unknown = self.table.keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
        let Some(key) = unknown.min_by_key(|key| key.span().start) else { return Ok(()) };
        let (name, what) = (key.get_ref(), self.what);
        let hint = suggestion(name, known.iter().copied(), "it takes");
        // Lists the keys even if one of them is suggested, because the suggestion may be wrong.
        let others = if hint.ends_with('?') {
            format!(" (It takes {}.)", listed(known.iter().copied()))
        } else {
            String::new()
        };
        Err(Fault::at(&key.span(), format!("{what} takes no `{name}`{hint}{others}")))
    }

    /// Returns the value of a key with its place.
    pub(crate) fn entry(&self, key: &str) -> Option<(&'a Spanned<DeValue<'a>>, Span)> {
        // The place of the value is more informative than that of the key.
        self.table.get(key).map(|value| (value, value.span()))
    }

    fn mismatch<T>(key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) -> Result<T> {
        Err(Fault::at(&value.span(), format!("`{key}` is {}; it must be {wanted}", kind(value.get_ref()))))
    }

    /// Reads a table.
    pub(crate) fn table(&self, key: &str) -> Result<Option<(&'a DeTable<'a>, Span)>> {
        match self.entry(key) {
            None => Ok(None),
            Some((value, at)) => match value.get_ref() {
                DeValue::Table(table) => Ok(Some((table, at))),
                _ => Self::mismatch(key, value, "a table"),
            },
        }
    }

    /// Reads a string.
    pub(crate) fn text(&self, key: &str) -> Result<Option<At<&'a str>>> {
        self.entry(key).map(|(value, at)| text(key, value, at, "a string")).transpose()
    }

    /// Reads one of these words.
    pub(crate) fn word<'w>(&self, key: &str, words: &[&'w str]) -> Result<Option<&'w str>> {
        let wanted = format!("one of {}", listed(words.iter().copied()));
        let Some((value, at)) = self.entry(key) else { return Ok(None) };
        let written = text(key, value, at, &wanted)?;
        if let Some(word) = words.iter().find(|word| **word == written.value) {
            return Ok(Some(word));
        }
        let hint = suggestion(written.value, words.iter().copied(), "it must be one of");
        Err(Fault::at(&written.at, format!("`{key}` is \"{}\"{hint}", written.value)))
    }

    /// Reads a list of strings.
    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<At<&'a str>>>> {
        let wanted = "an array of strings";
        let Some((value, _)) = self.entry(key) else { return Ok(None) };
        let DeValue::Array(array) = value.get_ref() else { return Self::mismatch(key, value, wanted) };
        array.iter().map(|item| item_text(key, item)).collect::<Result<_>>().map(Some)
    }

    /// Reads a string or a list of strings.
    pub(crate) fn text_or_texts(&self, key: &str) -> Result<Option<Vec<At<&'a str>>>> {
        let Some((value, at)) = self.entry(key) else { return Ok(None) };
        let wanted = "the name of a layer or an array of names";
        match value.get_ref() {
            DeValue::String(_) => text(key, value, at, wanted).map(|one| Some(vec![one])),
            DeValue::Array(array) => {
                array.iter().map(|item| item_text(key, item)).collect::<Result<_>>().map(Some)
            }
            _ => Self::mismatch(key, value, wanted),
        }
    }

    /// Reads a boolean.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>> {
        let Some((value, _)) = self.entry(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Boolean(flag) => Ok(Some(*flag)),
            _ => Self::mismatch(key, value, "`true` or `false`"),
        }
    }

    /// Reads an integer or a float as a float.
    pub(crate) fn number(&self, key: &str) -> Result<Option<f64>> {
        let Some((value, _)) = self.entry(key) else { return Ok(None) };
        match number(value)? {
            Some(number) => Ok(Some(number)),
            None => Self::mismatch(key, value, "a number"),
        }
    }

    /// Reads an integer.
    pub(crate) fn whole(&self, key: &str) -> Result<Option<At<i64>>> {
        let Some((value, at)) = self.entry(key) else { return Ok(None) };
        match integer(value)? {
            Some(value) => Ok(Some(At { value, at })),
            None => Self::mismatch(key, value, "an integer"),
        }
    }
}

fn text<'a>(key: &str, value: &'a Spanned<DeValue<'a>>, at: Span, wanted: &str) -> Result<At<&'a str>> {
    match value.get_ref() {
        DeValue::String(text) => Ok(At { value: text.as_ref(), at }),
        _ => Reader::mismatch(key, value, wanted),
    }
}

fn item_text<'a>(key: &str, item: &'a Spanned<DeValue<'a>>) -> Result<At<&'a str>> {
    let at = item.span();
    match item.get_ref() {
        DeValue::String(text) => Ok(At { value: text.as_ref(), at }),
        other => {
            Err(Fault::at(&at, format!("`{key}` contains {}; it must contain strings only", kind(other))))
        }
    }
}

/// Returns an integer value, or `None` for another type.
pub(crate) fn integer(value: &Spanned<DeValue<'_>>) -> Result<Option<i64>> {
    let DeValue::Integer(written) = value.get_ref() else { return Ok(None) };
    match i64::from_str_radix(written.as_str(), written.radix()) {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(Fault::at(&value.span(), "this integer does not fit into 64 bits")),
    }
}

/// Returns an integer or float value, or `None` for another type. Refuses numbers that are not finite.
pub(crate) fn number(value: &Spanned<DeValue<'_>>) -> Result<Option<f64>> {
    let DeValue::Float(written) = value.get_ref() else {
        return Ok(integer(value)?.map(|n| n as f64));
    };
    match written.as_str().parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Some(number)),
        _ => Err(Fault::at(&value.span(), "this number is not finite")),
    }
}

/// Returns the name of a value's type, with an article, for messages.
pub(crate) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
