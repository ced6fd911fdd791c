//! Rules for prose: comments in Rust sources, and Markdown.

use super::finding::Finding;

/// Largest width of a comment line in columns; equals `max_width` of `rustfmt.toml`.
const WIDTH: usize = 110;

/// Checks comments that stand alone on their line. Comments after code are formatted by rustfmt.
pub(super) fn of_rust(path: &str, source: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in source.lines().enumerate() {
        let Some(text) = line.trim_start().strip_prefix("//") else { continue };
        let mut found =
            |what: String, why| findings.push(Finding { path: path.to_owned(), line: index + 1, what, why });
        // Tables and URLs cannot be wrapped.
        if line.chars().count() > WIDTH && !text.contains('|') && !text.contains("https://") {
            found("a long line".to_owned(), "comments stay within the width of the code");
        }
        if let Some(reference) = reference(text) {
            found(format!("`{reference}`"), "readers do not have that document; say the rule itself");
        }
        if has_elision(text) {
            found("`..`".to_owned(), "an omission is written `...`");
        }
    }
    findings
}

/// Checks the text outside of code blocks.
pub(super) fn of_markdown(path: &str, source: &str) -> Vec<Finding> {
    let mut is_code = false;
    let mut findings = Vec::new();
    for (index, line) in source.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code && has_elision(line) {
            let (what, why) = ("`..`".to_owned(), "an omission is written `...`");
            findings.push(Finding { path: path.to_owned(), line: index + 1, what, why });
        }
    }
    findings
}

/// Returns a reference to a numbered rule of another document: a capital letter and a number in parentheses.
/// `G` is left out, because it begins the names of gates.
fn reference(text: &str) -> Option<&str> {
    text.match_indices('(').find_map(|(at, _)| {
        let inner = text[at + 1..].split([')', ',', ':', ';']).next()?;
        let (letter, number) = inner.split_at_checked(1)?;
        let is_number = (1..=2).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
        let is_reference = matches!(letter.as_bytes(), [b'A'..=b'F' | b'H'..=b'Z']) && is_number;
        is_reference.then_some(inner)
    })
}

/// Whether two dots stand for an omission. Ranges are in code spans or have no space around the dots.
fn has_elision(text: &str) -> bool {
    let outside = text.split('`').step_by(2);
    outside.into_iter().any(|text| {
        text.match_indices("..").any(|(at, _)| {
            let (before, after) = (text[..at].chars().next_back(), text[at + 2..].chars().next());
            let alone = |c: Option<char>| c.is_none_or(|c| c.is_whitespace() || ",)]".contains(c));
            alone(before) && alone(after)
        })
    })
}

#[cfg(test)]
mod spec {
    use super::{WIDTH, of_markdown, of_rust};

    fn lines(findings: &[super::Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn long_comments_references_and_elisions_are_found() {
        let long = "x ".repeat(WIDTH);
        let source = format!(
            "/// {long}\nlet a = 1; // {long}\n/// | {long} |\n// As (A6) has it.\n// G5 (G2) is a gate.\n\
             // One, two, ..\n// `0..4`, (0..4), `a, ..`, ../up and more...\n"
        );
        assert_eq!(lines(&of_rust("a.rs", &source)), [1, 4, 6]);
    }

    #[test]
    fn code_blocks_of_documents_may_have_two_dots() {
        let source = "one, ..\n\n```console\n..\n```\n\n[up](../a.md)\n";
        assert_eq!(lines(&of_markdown("a.md", source)), [1]);
    }
}
