//! Rules for every text file.

use std::path::Path;

use super::finding::Finding;

/// Split, so that this file does not break its own rule.
const MARK: &str = concat!("FIX", "ME");

pub(super) fn findings(path: &str, source: &str) -> Vec<Finding> {
    // A snapshot is what a program printed, spaces included.
    let any_spaces = Path::new(path).extension().is_some_and(|extension| extension == "snap");
    let mut findings = Vec::new();
    for (index, line) in source.lines().enumerate() {
        let mut found =
            |what: String, why| findings.push(Finding { path: path.to_owned(), line: index + 1, what, why });
        if !any_spaces && line.ends_with([' ', '\t', '\r']) {
            found("trailing whitespace".into(), "it makes noise in diffs");
        }
        if has_word(line, MARK) {
            found(format!("`{MARK}`"), "what is known to be broken is mended or becomes an issue");
        }
    }
    findings
}

fn has_word(line: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(part_of_word) && !line[at + word.len()..].starts_with(part_of_word)
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
