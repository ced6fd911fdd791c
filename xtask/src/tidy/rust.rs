//! Rules for Rust sources: which names each file may use, and how long it may be.
//!
//! The rules are applied to tokens, so comments, doc comments and strings cannot break them.

use super::finding::Finding;
use super::tokens::{self, Token};

/// Most lines of a file in a `src` folder.
const LONGEST: usize = 400;

/// Names that only some files may use.
struct Rule {
    names: &'static [Name],
    /// Whether the file at this path may use the names.
    allowed: fn(&str) -> bool,
    why: &'static str,
}

/// Pattern of tokens that makes up a name.
enum Name {
    /// A sequence of tokens.
    Tokens(&'static [&'static str]),
    /// A module of `std`, by its path or in a group: `std::fs`, `use std::{env, fs}`.
    Std(&'static str),
}
use Name::{Std, Tokens};

const RULES: [Rule; 6] = [
    Rule {
        names: &[Tokens(&["todo", "!"]), Tokens(&["unimplemented", "!"]), Tokens(&["dbg", "!"])],
        allowed: |_| false,
        why: "unfinished work is not checked in",
    },
    Rule {
        names: &[
            Tokens(&["unsafe", "{"]),
            Tokens(&["unsafe", "fn"]),
            Tokens(&["unsafe", "impl"]),
            Tokens(&["unsafe", "trait"]),
            Tokens(&["unsafe", "extern"]),
        ],
        allowed: |path| {
            let places = [
                "torch-ext/",
                "plugin-api/src/abi",
                "registry/src/dl.rs",
                "registry/src/child.rs",
                "tests/fixtures/",
            ];
            places.iter().any(|place| path.starts_with(place))
        },
        why: "unsafe code is allowed in torch-ext, the plugin ABI and the loader only",
    },
    Rule {
        names: &[
            Tokens(&["use", "tch"]),
            Tokens(&["tch", ":", ":"]),
            Tokens(&["use", "torch"]),
            Tokens(&["torch", ":", ":"]),
            Tokens(&["torch_sys"]),
            Tokens(&["kasmina_torch_ext"]),
        ],
        allowed: |path| !path.starts_with("lifecycle/src") && !path.starts_with("checkpoint/"),
        why: "the lifecycle and the checkpoint format must not depend on torch",
    },
    Rule {
        names: &[Tokens(&["abi_stable"])],
        allowed: |path| path.starts_with("plugin-api/src/abi"),
        why: "only plugin-api::abi may use abi_stable, so that it can be replaced",
    },
    Rule {
        names: &[
            Tokens(&["println", "!"]),
            Tokens(&["eprintln", "!"]),
            Tokens(&["print", "!"]),
            Tokens(&["eprint", "!"]),
        ],
        allowed: |path| {
            let (dir, file) = path.rsplit_once('/').unwrap_or(("", path));
            file == "build.rs"
                || path.starts_with("cli/")
                || path.starts_with("bench/")
                || path == "examples/embedding/src/main.rs"
                || path.starts_with("xtask/")
                || dir.split('/').any(|part| part == "tests")
        },
        why: "a library does not write to the terminal",
    },
    Rule {
        names: &[Std("fs"), Std("io"), Tokens(&["File", ":", ":"])],
        allowed: |path| !path.starts_with("host-crate/src/"),
        why: "the core does no IO",
    },
];

pub(super) fn findings(path: &str, source: &str) -> Vec<Finding> {
    let finding = |line, what, why| Finding { path: path.to_owned(), line, what, why };
    let tokens = match tokens::of(source) {
        Ok(tokens) => tokens,
        Err((line, error)) => return vec![finding(line, error, "the file cannot be parsed as Rust")],
    };
    let rules: Vec<&Rule> = RULES.iter().filter(|rule| !(rule.allowed)(path)).collect();
    let mut findings = Vec::new();
    for at in 0..tokens.len() {
        for rule in &rules {
            if let Some(name) = rule.names.iter().find_map(|name| name.found(&tokens, at)) {
                findings.push(finding(tokens[at].line, format!("`{name}`"), rule.why));
            }
        }
    }
    let lines = source.lines().count();
    if lines > LONGEST && (path.starts_with("src/") || path.contains("/src/")) {
        findings.push(finding(
            LONGEST + 1,
            format!("{lines} lines"),
            "split the file: files in `src` have at most 400 lines",
        ));
    }
    // `use tch::Tensor` matches both `use tch` and `tch::`.
    findings.dedup_by(|later, earlier| later.line == earlier.line && later.why == earlier.why);
    findings
}

impl Name {
    /// Returns the name as it is written in code if the tokens match from `at` on.
    fn found(&self, tokens: &[Token], at: usize) -> Option<String> {
        match self {
            Tokens(words) => starts(&tokens[at..], words).then(|| spelled(words)),
            Std(module) => {
                if !starts(&tokens[at..], &["std", ":", ":"]) {
                    return None;
                }
                let rest = &tokens[at + 3..];
                (starts(rest, &[module]) || has_member(rest, module)).then(|| format!("std::{module}"))
            }
        }
    }
}

fn starts(tokens: &[Token], words: &[&str]) -> bool {
    tokens.len() >= words.len() && tokens.iter().zip(words).all(|(token, word)| token.text == **word)
}

/// Whether `tokens` starts with a group `{…}` one of whose members begins with `name`. Inner groups are
/// skipped.
fn has_member(tokens: &[Token], name: &str) -> bool {
    let mut depth = 0_usize;
    let mut before = "";
    for token in tokens {
        if depth == 1 && matches!(before, "{" | ",") && token.text == name {
            return true;
        }
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return false;
        }
        before = &token.text;
    }
    false
}

/// Joins tokens with a space before each word and none before punctuation.
fn spelled(words: &[&str]) -> String {
    let mut spelled = String::new();
    for word in words {
        let word_follows = word.starts_with(char::is_alphabetic) || *word == "{";
        if word_follows && !spelled.is_empty() {
            spelled.push(' ');
        }
        spelled.push_str(word);
    }
    spelled
}

#[cfg(test)]
mod spec {
    use super::findings;

    fn found(path: &str, source: &str) -> Vec<String> {
        findings(path, source).iter().map(|finding| format!("{} {}", finding.line, finding.what)).collect()
    }

    #[test]
    fn unsafe_code_is_found_outside_its_crates() {
        let source = "fn f() {\n    unsafe { g() }\n}\nunsafe impl Send for A {}\n";
        assert_eq!(found("trainer/src/a.rs", source), ["2 `unsafe {`", "4 `unsafe impl`"]);
        for place in
            ["torch-ext/src/a.rs", "plugin-api/src/abi/a.rs", "plugin-api/src/abi.rs", "registry/src/dl.rs"]
        {
            assert!(found(place, source).is_empty(), "{place}");
        }
        assert!(found("plugins/a/src/lib.rs", "#[unsafe(no_mangle)]\nfn f() {}\n").is_empty());
    }

    #[test]
    fn comments_and_strings_are_not_checked() {
        let source = "//! unsafe { println!() }\n/// dbg!(x) `todo!()`\nfn f() -> &'static str {\n    \
            /* std::fs /* todo!() */ */ \"unsafe { println!() } File::open\"\n}\n";
        assert!(found("lifecycle/src/a.rs", source).is_empty());
    }

    #[test]
    fn printing_is_found_in_libraries() {
        let source = "fn f() { eprintln!(\"x\") }";
        assert_eq!(found("trainer/src/a.rs", source), ["1 `eprintln!`"]);
        for place in [
            "cli/src/a.rs",
            "bench/src/a.rs",
            "xtask/src/a.rs",
            "tests/a.rs",
            "trainer/tests/a.rs",
            "torch-ext/build.rs",
        ] {
            assert!(found(place, source).is_empty(), "{place}");
        }
    }

    #[test]
    fn io_is_found_in_the_core() {
        assert_eq!(found("host-crate/src/a.rs", "use std::fs;\n"), ["1 `std::fs`"]);
        assert_eq!(found("host-crate/src/a.rs", "use std::{fmt, io::{self}, rc};\n"), ["1 `std::io`"]);
        assert!(found("host-crate/src/a.rs", "use std::{fmt, sync::{fs}};\nlet io = 1;\n").is_empty());
        assert_eq!(found("host-crate/src/a.rs", "fn f() { File::open(p) }"), ["1 `File::`"]);
        assert!(found("registry/src/a.rs", "use std::fs;\n").is_empty());
    }

    #[test]
    fn torch_is_found_in_the_lifecycle_and_the_checkpoint_format() {
        assert_eq!(found("lifecycle/src/a.rs", "use tch::Tensor;\n"), ["1 `use tch`"]);
        assert_eq!(found("lifecycle/src/lib.rs", "fn f(x: &tch::Tensor) {}"), ["1 `tch::`"]);
        assert_eq!(found("checkpoint/src/write.rs", "use tch::Tensor;\n"), ["1 `use tch`"]);
        assert!(found("host-crate/src/host.rs", "use tch::Tensor;\n").is_empty());
    }

    #[test]
    fn leftovers_and_foreign_names_are_found() {
        assert_eq!(found("cli/src/a.rs", "fn f() {\n todo!()\n}\n"), ["2 `todo!`"]);
        assert_eq!(found("registry/src/a.rs", "use abi_stable::StableAbi;"), ["1 `abi_stable`"]);
        assert!(found("plugin-api/src/abi/a.rs", "use abi_stable::StableAbi;").is_empty());
    }

    #[test]
    fn long_files_of_src_are_found() {
        let source = "\n".repeat(super::LONGEST + 1);
        assert_eq!(found("cli/src/a.rs", &source), ["401 401 lines"]);
        assert!(found("tests/tests/a.rs", &source).is_empty());
        assert!(found("cli/src/a.rs", &"\n".repeat(super::LONGEST)).is_empty());
    }

    #[test]
    fn a_file_that_is_not_rust_is_found() {
        assert_eq!(findings("cli/src/a.rs", "fn f() {\n").len(), 1);
    }
}
