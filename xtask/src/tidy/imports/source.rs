//! Collects the imports, re-exports, paths and names of one Rust file.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::tokens::{self, Token};

/// A path as a list of its segments.
pub(super) type Path = Vec<String>;

/// Names that a file imports and uses. Test code is left out.
#[derive(Default)]
pub(super) struct Source {
    /// Names that `use` brings into scope, with their paths.
    pub(super) imports: BTreeMap<String, Path>,
    /// The same for `pub use`, `pub(crate) use` and so on.
    pub(super) reexports: BTreeMap<String, Path>,
    /// Modules that are imported with `use path::*`.
    pub(super) globs: Vec<Path>,
    /// Paths in code with at least two segments.
    pub(super) paths: Vec<Path>,
    /// Single identifiers in code, at places where the name of an item can be.
    pub(super) words: BTreeSet<String>,
}

/// Parses a file. Returns `Err` if that fails, which another rule reports.
pub(super) fn read(text: &str) -> Result<Source, ()> {
    let tokens = tokens::of(text).map_err(drop)?;
    let mut source = Source::default();
    let mut at = 0;
    while at < tokens.len() {
        at = item(&tokens, at, &mut source);
    }
    Ok(source)
}

/// Reads the construct that begins at token `at`. Returns the token at which to continue.
fn item(tokens: &[Token], at: usize, source: &mut Source) -> usize {
    let text = |offset: usize| tokens.get(at + offset).map_or("", |token| token.text.as_str());
    if is(tokens, at, &["#", "[", "cfg", "(", "test", ")", "]"]) {
        return after_item(tokens, at + 7);
    }
    match text(0) {
        // `use<'a>` captures lifetimes and imports nothing.
        "use" if text(1) != "<" => {
            let end = (at..tokens.len()).find(|i| tokens[*i].text == ";").unwrap_or(tokens.len());
            // `pub use`, `pub(crate) use`, `pub(in path) use`.
            let public = at > 0 && (tokens[at - 1].text == "pub" || tokens[at - 1].text == ")");
            tree(&tokens[at + 1..end], &mut Vec::new(), public, source);
            end + 1
        }
        word if is_word(word) && text(1) == ":" && text(2) == ":" => {
            let mut path = vec![word.to_owned()];
            let mut end = at + 1;
            while is(tokens, end, &[":", ":"]) && tokens.get(end + 2).is_some_and(|t| is_word(&t.text)) {
                path.push(tokens[end + 2].text.clone());
                end += 3;
            }
            // `a.b::<T>()` and `::a` are not paths of this crate's modules.
            let before = |n: usize| at.checked_sub(n).map_or("", |i| tokens[i].text.as_str());
            // A path after `$` is resolved where the macro is used.
            let method = matches!(before(1), "." | "$") || (before(1) == ":" && before(2) == ":");
            if path.len() > 1 && !method {
                source.paths.push(path);
            }
            end
        }
        word => {
            let before = at.checked_sub(1).map_or("", |i| tokens[i].text.as_str());
            // Fields and methods (`a.b`, `b: c`) and the names of definitions are left out.
            let names_item = is_word(word) && text(1) != ":" && !matches!(before, "." | "fn" | "mod" | "let");
            if names_item {
                source.words.insert(word.to_owned());
            }
            at + 1
        }
    }
}

/// First token after the item that begins at `at`, that is after its `;` or its block.
fn after_item(tokens: &[Token], mut at: usize) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            ";" => return at + 1,
            "{" => return after_block(tokens, at),
            "(" | "[" => at = after_block(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// First token after the bracket that closes the one at `at`.
fn after_block(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}

/// Reads the tree of a `use` declaration below `prefix`. `tokens` contains neither `use` nor `;`.
fn tree(tokens: &[Token], prefix: &mut Path, public: bool, source: &mut Source) {
    let depth = prefix.len();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            ":" => at += 1,
            "{" => {
                let end = after_block(tokens, at);
                for branch in branches(&tokens[at + 1..end - 1]) {
                    tree(branch, prefix, public, source);
                }
                prefix.truncate(depth);
                return;
            }
            "*" => {
                if !public {
                    source.globs.push(prefix.clone());
                }
                prefix.truncate(depth);
                return;
            }
            "as" => {
                let name = tokens.get(at + 1).map_or("_", |token| token.text.as_str()).to_owned();
                leaf(name, prefix, public, source);
                prefix.truncate(depth);
                return;
            }
            // `self` in `a::{self, B}` imports `a`.
            "self" if !prefix.is_empty() => at += 1,
            word => {
                prefix.push(word.to_owned());
                at += 1;
            }
        }
    }
    leaf(prefix.last().cloned().unwrap_or_default(), prefix, public, source);
    prefix.truncate(depth);
}

fn leaf(name: String, path: &Path, public: bool, source: &mut Source) {
    let names = if public { &mut source.reexports } else { &mut source.imports };
    // `use path as _` imports a trait without a name, and still counts as an import.
    let name = if name == "_" { format!("_{}", names.len()) } else { name };
    names.insert(name, path.clone());
}

/// Splits `tokens` at commas outside of braces.
fn branches(tokens: &[Token]) -> Vec<&[Token]> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (index, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 0 => {
                parts.push(&tokens[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&tokens[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}

fn is(tokens: &[Token], at: usize, words: &[&str]) -> bool {
    let rest = tokens.get(at..).unwrap_or_default();
    rest.len() >= words.len() && rest.iter().zip(words).all(|(token, word)| token.text == **word)
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}
