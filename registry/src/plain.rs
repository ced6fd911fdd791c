//! Escapes text from untrusted sources so that it can be printed on a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character controls a terminal, or changes the direction of the text around it.
pub fn is_misleading(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns a text with all misleading characters escaped, line breaks too.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_misleading)
}

/// Returns a text with all misleading characters escaped except line breaks.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_misleading(c))
}

fn escaped(text: &str, escapes: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&escapes) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if escapes(c) {
            // Writing into a string cannot fail.
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::{lines, one_line};

    #[test]
    fn misleading_characters_are_escaped() {
        assert_eq!(one_line("plain é 漢"), "plain é 漢");
        assert_eq!(one_line("a\u{1b}[2Jb\nc\u{202e}d\u{9b}"), "a\\u{1b}[2Jb\\nc\\u{202e}d\\u{9b}");
        assert_eq!(lines("a\nb\rc"), "a\nb\\rc");
    }
}
