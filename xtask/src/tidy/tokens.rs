//! Converts Rust source to a flat list of tokens with their lines.

use std::str::FromStr as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// An identifier, a punctuation character, or a bracket. The text of a literal is left empty.
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

/// Returns all tokens of `source`. Comments are dropped; doc comments appear as attributes with literals.
///
/// # Errors
/// If `source` cannot be parsed: the line and the reason.
pub(super) fn of(source: &str) -> Result<Vec<Token>, (usize, String)> {
    let stream =
        TokenStream::from_str(source).map_err(|error| (error.span().start().line, error.to_string()))?;
    let mut tokens = Vec::new();
    flatten(stream, &mut tokens);
    Ok(tokens)
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        let mut push = |text: String, line| tokens.push(Token { text, line });
        match tree {
            TokenTree::Ident(word) => push(word.to_string(), line),
            TokenTree::Punct(punct) => push(punct.as_char().to_string(), line),
            TokenTree::Literal(_) => push(String::new(), line),
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                push(open.to_owned(), line);
                let end = group.span_close().start().line;
                flatten(group.stream(), tokens);
                tokens.push(Token { text: close.to_owned(), line: end });
            }
        }
    }
}
