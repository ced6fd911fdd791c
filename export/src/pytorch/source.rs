//! The PyTorch sources of a network's parts, joined into one file.

use crate::ExportError;
use std::collections::BTreeMap;

/// A class or function at the top level of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Definition {
    name: String,
    is_class: bool,
    text: String,
}

/// Definitions of several sources, each once.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Text of each definition by name.
    known: BTreeMap<String, String>,
    /// Names in the order in which they were added.
    order: Vec<String>,
}

impl Sources {
    /// Adds the source of a part and returns the name of its module class, the last class of the source. A
    /// definition that another source has as well is kept once; one that differs under the same name gets
    /// the name of its plugin in front.
    ///
    /// # Errors
    /// If the source has anything but classes and functions at its top level, or has no class.
    pub(super) fn add(&mut self, source: &str, plugin: &str, part: &str) -> Result<String, ExportError> {
        let wrong = |reason: String| ExportError::Source { part: part.to_owned(), reason };
        let mut definitions = definitions(source).map_err(&wrong)?;
        // A renamed definition changes those that use it, so they are compared again.
        while let Some(index) = definitions.iter().position(|definition| self.differs(definition)) {
            let (old, new) =
                (definitions[index].name.clone(), self.free_name(&definitions[index].name, plugin));
            for definition in &mut definitions {
                definition.text = renamed(&definition.text, &old, &new);
            }
            definitions[index].name = new;
        }
        let class = definitions.iter().rev().find(|definition| definition.is_class);
        let class = class.ok_or_else(|| wrong("has no class".to_owned()))?.name.clone();
        for Definition { name, text, .. } in definitions {
            if self.known.insert(name.clone(), text).is_none() {
                self.order.push(name);
            }
        }
        Ok(class)
    }

    /// All definitions, separated as Python's style guide asks.
    pub(super) fn text(&self) -> String {
        let texts = self.order.iter().filter_map(|name| self.known.get(name));
        texts.flat_map(|text| ["\n\n", text, "\n"]).collect()
    }

    /// Whether another source has another definition of the same name.
    fn differs(&self, definition: &Definition) -> bool {
        self.known.get(&definition.name).is_some_and(|known| *known != definition.text)
    }

    fn free_name(&self, name: &str, plugin: &str) -> String {
        let prefixed = format!("{}{name}", camel_case(plugin));
        if !self.known.contains_key(&prefixed) {
            return prefixed;
        }
        let numbered = (2..).map(|number| format!("{prefixed}{number}"));
        numbered.into_iter().find(|name| !self.known.contains_key(name)).unwrap_or(prefixed)
    }
}

/// Splits a source at its top level.
fn definitions(source: &str) -> Result<Vec<Definition>, String> {
    let mut found: Vec<Definition> = Vec::new();
    let mut decorators = String::new();
    let mut quotes: Option<&str> = None;
    for (number, line) in source.lines().enumerate() {
        let inside = quotes.is_some();
        quotes = after_line(line, quotes);
        let is_continued = inside
            || line.trim().is_empty()
            || line.starts_with([' ', '\t', ')', ']', '}'])
            || line.trim_start().starts_with('#');
        if is_continued {
            match found.last_mut() {
                Some(last) => {
                    last.text.push('\n');
                    last.text.push_str(line);
                }
                None if line.trim().is_empty() || line.trim_start().starts_with('#') => {}
                None => return Err(format!("is indented in line {}", number + 1)),
            }
            continue;
        }
        if line.starts_with('@') {
            decorators.push_str(line);
            decorators.push('\n');
            continue;
        }
        let (is_class, rest) = match (line.strip_prefix("class "), line.strip_prefix("def ")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => {
                return Err(format!(
                    "has something other than a class or function in line {}: `{line}`; torch, nn, F and math are imported for it",
                    number + 1
                ));
            }
        };
        let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
        let text = format!("{}{line}", std::mem::take(&mut decorators));
        found.push(Definition { name: rest[..end].to_owned(), is_class, text });
    }
    if quotes.is_some() {
        return Err("ends inside a string".to_owned());
    }
    for definition in &mut found {
        definition.text.truncate(definition.text.trim_end().len());
    }
    Ok(found)
}

/// The triple quotes that are open behind a line.
fn after_line(line: &str, mut open: Option<&'static str>) -> Option<&'static str> {
    let mut rest = line;
    loop {
        if let Some(quotes) = open {
            let Some(end) = rest.find(quotes) else { return open };
            (rest, open) = (&rest[end + quotes.len()..], None);
            continue;
        }
        let start = rest.find(['"', '\'', '#'])?;
        let tail = &rest[start..];
        if tail.starts_with('#') {
            return None;
        }
        if let Some(quotes) = [r#"""""#, "'''"].into_iter().find(|quotes| tail.starts_with(quotes)) {
            (rest, open) = (&tail[quotes.len()..], Some(quotes));
            continue;
        }
        rest = after_string(tail);
    }
}

/// The text behind a string of one line; `text` begins with its quote.
fn after_string(text: &str) -> &str {
    let quote = text.chars().next().unwrap_or('"');
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return &text[at + c.len_utf8()..],
            _ => {}
        }
    }
    ""
}

/// Replaces a name wherever it stands for itself: not as an attribute, in a string or in a comment.
fn renamed(text: &str, old: &str, new: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let taken = if let Some(quotes) = [r#"""""#, "'''"].into_iter().find(|q| rest.starts_with(q)) {
            let end = rest[quotes.len()..].find(quotes).map_or(rest.len(), |end| end + 2 * quotes.len());
            &rest[..end]
        } else if first == '"' || first == '\'' {
            &rest[..rest.len() - after_string(rest).len()]
        } else if first == '#' {
            &rest[..rest.find('\n').unwrap_or(rest.len())]
        } else if first == '_' || first.is_alphabetic() {
            let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
            let word = &rest[..end];
            if word == old && !out.ends_with('.') {
                out.push_str(new);
                rest = &rest[end..];
                continue;
            }
            word
        } else if first.is_ascii_digit() {
            let end = rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len());
            &rest[..end]
        } else {
            &rest[..first.len_utf8()]
        };
        out.push_str(taken);
        rest = &rest[taken.len()..];
    }
    out
}

/// `acme_seeds` as `AcmeSeeds`.
fn camel_case(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let capital = |word: &str| {
        let (first, rest) = word.split_at(1);
        first.to_ascii_uppercase() + rest
    };
    words.map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORM: &str = "class Norm(nn.Module):\n    def forward(self, x):\n        return helper(x)\n\n\ndef helper(x):\n    return x\n";

    #[test]
    fn equal_definitions_are_kept_once_and_others_are_renamed() {
        let mut sources = Sources::default();
        assert_eq!(sources.add(NORM, "acme", "a").unwrap(), "Norm");
        assert_eq!(sources.add(NORM, "other", "b").unwrap(), "Norm");
        let different = NORM.replace("return x", "return self.helper + \"helper Norm\"  # Norm");
        assert_eq!(sources.add(&different, "my_seeds", "c").unwrap(), "MySeedsNorm");
        let text = sources.text();
        assert_eq!(text.matches("class Norm(").count(), 1, "{text}");
        assert!(text.contains("return MySeedshelper(x)"), "{text}");
        assert!(
            text.contains("def MySeedshelper(x):\n    return self.helper + \"helper Norm\"  # Norm"),
            "{text}"
        );
    }

    #[test]
    fn a_renamed_class_is_the_module() {
        let mut sources = Sources::default();
        sources.add("class A(nn.Module):\n    pass", "one", "a").unwrap();
        assert_eq!(sources.add("class A(nn.Module):\n    x = 1", "two", "b").unwrap(), "TwoA");
        assert_eq!(sources.add("class A(nn.Module):\n    x = 2", "two", "c").unwrap(), "TwoA2");
    }

    #[test]
    fn anything_else_is_refused_with_its_line() {
        let refused = |source: &str| Sources::default().add(source, "acme", "it").unwrap_err().to_string();
        assert!(refused("import os\n").contains("in line 1: `import os`"), "{}", refused("import os\n"));
        assert!(refused("class A:\n    pass\nx = 1").contains("in line 3"));
        assert!(refused("def f():\n    pass").ends_with("has no class"));
        assert!(refused("class A:\n    \"\"\"open").ends_with("ends inside a string"));
        assert!(refused("    class A:").contains("indented in line 1"));
    }

    #[test]
    fn text_in_quotes_may_lie_anywhere() {
        let source = "class A:\n    \"\"\"first\nsecond ' \n\"\"\"\n    x = '#' + \"'''\"\n\n\n@decorated\ndef b():\n    pass";
        let found = definitions(source).unwrap();
        let names: Vec<&str> = found.iter().map(|definition| definition.name.as_str()).collect();
        assert_eq!(names, ["A", "b"]);
        assert!(found[1].text.starts_with("@decorated\ndef b"));
    }
}
