//! Patterns of submodule paths.

use globset::{GlobBuilder, GlobMatcher};

/// A dotted path in which `*` stands for any part of one name, and `**` for any number of names, including
/// none. `?`, `[ab]` and `{one,two}` work as in patterns of file names.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    text: String,
    matcher: GlobMatcher,
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// If the pattern is malformed; the text says why.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        // globset separates names by slashes. A pattern that ends in `**` also matches the submodule itself.
        let glob = text.replace('.', "/");
        let glob = glob.strip_suffix("/**").map_or_else(|| glob.clone(), |start| format!("{start}{{,/**}}"));
        let built = GlobBuilder::new(&glob).literal_separator(true).empty_alternates(true).build();
        let glob = built.map_err(|error| format!("`{text}` is not a valid pattern: {}", error.kind()))?;
        Ok(Self { text: text.to_owned(), matcher: glob.compile_matcher() })
    }

    /// The pattern as it was written.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern has no wildcards, so that it is the path of one submodule.
    pub(super) fn is_literal(&self) -> bool {
        !self.text.contains(['*', '?', '[', '{'])
    }

    /// Whether the pattern matches the dotted path of a submodule.
    pub(super) fn matches(&self, path: &str) -> bool {
        self.matcher.is_match(path.replace('.', "/"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed step is a failed test")]

    use super::*;

    #[test]
    fn one_star_matches_part_of_a_name_and_two_match_any_names() {
        let cases = [
            ("layer1", &["layer1"][..]),
            ("*", &["layer1", "layer2", "stem"]),
            ("layer*", &["layer1", "layer2"]),
            ("layer1.*", &["layer1.0", "layer1.1"]),
            ("layer1.**", &["layer1", "layer1.0", "layer1.0.conv", "layer1.1"]),
            ("**.conv", &["layer1.0.conv"]),
            ("**.stem", &["stem"]),
            ("layer1.**.conv", &["layer1.0.conv"]),
            ("**", &["layer1", "layer1.0", "layer1.0.conv", "layer1.1", "layer2", "stem"]),
            ("l*r*.0", &["layer1.0"]),
            ("layer[12]", &["layer1", "layer2"]),
            ("layer", &[]),
        ];
        let paths = ["layer1", "layer1.0", "layer1.0.conv", "layer1.1", "layer2", "stem"];
        for (text, wanted) in cases {
            let pattern = Pattern::new(text).unwrap();
            let found: Vec<_> = paths.into_iter().filter(|path| pattern.matches(path)).collect();
            assert_eq!(found, wanted, "{text}");
        }
        let error = Pattern::new("layer[1").unwrap_err();
        assert_eq!(error, "`layer[1` is not a valid pattern: unclosed character class; missing ']'");
    }
}
