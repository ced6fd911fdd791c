//! Rules for every text file.

use std::path::Path;

use super::finding::Finding;

/// Word that marks known faults. Split in two, so that this file does not break its own rule.
const MARK: &str = concat!("FIX", "ME");

pub(super) fn findings(path: &str, source: &str) -> Vec<Finding> {
    // Snapshots contain the output of programs unchanged, including spaces at line ends.
    let any_spaces = Path::new(path).extension().is_some_and(|extension| extension == "snap");
    let mut findings = Vec::new();
    for (index, line) in source.lines().enumerate() {
        let mut found =
            |what: String, why| findings.push(Finding { path: path.to_owned(), line: index + 1, what, why });
        if !any_spaces && line.ends_with([' ', '\t', '\r']) {
            found("trailing whitespace".into(), "it makes noise in diffs");
        }
        if has_word(line, MARK) {
            found(format!("`{MARK}`"), "repair known faults or open an issue for them");
        }
    }
    findings
}

fn has_word(line: &str, word: &str) -> bool {
    let is_word_char = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_word_char) && !line[at + word.len()..].starts_with(is_word_char)
    })
}

#[cfg(test)]
mod spec {
    use super::{MARK, findings};

    #[test]
    fn trailing_whitespace_and_marks_are_found_by_line() {
        let source = format!("fine\nspaces  \n// {MARK}: later\nAFFIXMENT\n");
        let lines: Vec<usize> = findings("a.toml", &source).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [2, 3]);
    }

    #[test]
    fn snapshots_may_end_lines_with_spaces() {
        assert!(findings("cli/tests/snapshots/a.snap", "table  \n").is_empty());
    }
}
