//! The text of a document, places in it, and messages about them.

use std::ops::Range;

/// Range of bytes in the text.
pub(crate) type Span = Range<usize>;

/// A mistake in a document: its place and its description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    at: Option<Span>,
    text: String,
}

/// Result of functions that read documents.
pub(crate) type Result<T, E = Fault> = std::result::Result<T, E>;

impl Fault {
    /// A mistake at a place in the text.
    pub(crate) fn at(at: &Span, text: impl Into<String>) -> Self {
        Self { at: Some(at.clone()), text: text.into() }
    }
    /// A mistake of the document as a whole, or of its settings or module.
    pub(crate) fn whole(text: impl Into<String>) -> Self {
        Self { at: None, text: text.into() }
    }
    /// Returns a fault at the same place with another description.
    pub(crate) fn map_text(self, with: impl FnOnce(String) -> String) -> Self {
        Self { text: with(self.text), ..self }
    }
}

/// The text of a document, and its name in messages.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    file: String,
    text: String,
}

impl Source {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns `file:line:column: description`. Lines and columns count from 1, columns in characters.
    pub(crate) fn message(&self, fault: &Fault) -> String {
        let Fault { at, text } = fault;
        let Some(at) = at else { return format!("{}: {text}", self.file) };
        let mut end = at.start.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &self.text[..end];
        let line = before.matches('\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        let column = before[start..].chars().count() + 1;
        format!("{}:{line}:{column}: {text}", self.file)
    }

    /// Returns the place of byte `offset` of a string's value. In a string with escapes, offsets in the
    /// value and in the text differ; then the place is the whole string.
    pub(crate) fn within(&self, string: &Span, value: &str, offset: usize) -> Span {
        let written = self.text.get(string.clone()).unwrap_or_default();
        let plain = ['"', '\''].iter().any(|q| {
            written
                .strip_prefix(*q)
                .and_then(|rest| rest.strip_suffix(*q))
                .is_some_and(|inner| inner == value)
        });
        if plain { string.start + 1 + offset..string.end } else { string.clone() }
    }
}

/// Returns the known name that is most similar to what was written, if it is similar enough.
fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = written.to_ascii_lowercase();
    let limit = written.chars().count().div_ceil(3).max(1);
    let distance = |name: &str| strsim::osa_distance(&lower, &name.to_ascii_lowercase());
    known.into_iter().map(|n| (distance(n), n)).filter(|(d, _)| *d <= limit).min().map(|(_, name)| name)
}

/// Returns the end of a message about an unknown name: a question about the nearest known name, or `lead`
/// and all known names.
pub(crate) fn suggestion<'a>(written: &str, known: impl IntoIterator<Item = &'a str>, lead: &str) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(written, known.iter().copied()) {
        Some(name) => format!("; did you mean `{name}`?"),
        None if known.is_empty() => format!("; {lead} none"),
        None => format!("; {lead} {}", listed(known)),
    }
}

/// Returns names as a list for a message: `` `a`, `b`, `c` ``.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod spec {
    use super::{Fault, Source, suggestion};

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        let source = Source::new("a.toml", "x = 1\né = \"b\"\n");
        let place = |at: usize| source.message(&Fault::at(&(at..at + 1), "here"));
        assert_eq!(place(0), "a.toml:1:1: here");
        assert_eq!(place(6), "a.toml:2:1: here");
        assert_eq!(place(7), "a.toml:2:1: here");
        assert_eq!(place(11), "a.toml:2:5: here");
        assert_eq!(place(999), "a.toml:3:1: here");
        assert_eq!(source.message(&Fault::whole("all")), "a.toml: all");
    }

    #[test]
    fn a_place_inside_a_string_is_found_unless_the_string_has_escapes() {
        let source = Source::new("a.toml", r#"x = "C + 1", y = "C \u002b 1""#);
        assert_eq!(source.within(&(4..11), "C + 1", 2).start, 7);
        assert_eq!(source.within(&(17..29), "C + 1", 2), 17..29);
    }

    #[test]
    fn only_similar_names_are_suggested() {
        let known = ["conv", "norm"];
        assert_eq!(suggestion("conf", known, "there are"), "; did you mean `conv`?");
        assert_eq!(suggestion("Cnov", known, "there are"), "; did you mean `conv`?");
        assert_eq!(suggestion("transformer", known, "there are"), "; there are `conv`, `norm`");
        assert_eq!(suggestion("", [], "it has"), "; it has none");
    }
}
