//! Texts of other people, made safe to be shown.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character acts on a terminal, or changes the direction of the text around it.
pub fn is_misleading(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text of one line, with everything escaped that acts on a terminal.
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_misleading)
}

/// A text that may have several lines, with everything else escaped that acts on a terminal.
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
            // Cannot fail: it writes into a string.
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
    fn what_acts_on_a_terminal_is_escaped() {
        assert_eq!(one_line("plain é 漢"), "plain é 漢");
        assert_eq!(one_line("a\u{1b}[2Jb\nc\u{202e}d\u{9b}"), "a\\u{1b}[2Jb\\nc\\u{202e}d\\u{9b}");
        assert_eq!(lines("a\nb\rc"), "a\nb\\rc");
    }
}
