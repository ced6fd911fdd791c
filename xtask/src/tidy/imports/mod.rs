//! Rule for the files of a crate: no import cycle between them.
//!
//! A file imports from another if it uses a name, by `use` or by path, that the other one *defines*.
//! Re-exports are followed to the definition. Re-exports, `mod name;` and test code do not count as imports.

mod graph;
mod resolve;
mod source;

use std::collections::BTreeMap;

use super::finding::Finding;
use resolve::Crate;

/// Returns a finding for each import cycle between Rust files of the same crate. Each file is a path and a
/// text; files that are not below a `src/` are skipped.
pub(super) fn findings(files: &[(String, String)]) -> Vec<Finding> {
    let mut crates: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for (path, text) in files {
        let Some((folder, inner)) = path.split_once("src/") else { continue };
        if folder.is_empty() || folder.ends_with('/') {
            crates.entry(folder).or_default().push((inner, text));
        }
    }
    let mut findings = Vec::new();
    for (folder, files) in crates {
        let Ok(parsed) = Crate::new(&files) else { continue };
        let arrows = parsed.arrows();
        for cycle in graph::cycles(files.len(), &arrows) {
            let name = |file: usize| format!("{folder}src/{}", files[file].0);
            let steps = cycle.windows(2).map(|pair| {
                let names = arrows.get(&(pair[0], pair[1])).into_iter().flatten().cloned();
                format!(
                    "{} -> {} ({})",
                    name(pair[0]),
                    files[pair[1]].0,
                    names.collect::<Vec<_>>().join(", ")
                )
            });
            findings.push(Finding {
                path: name(cycle[0]),
                line: 1,
                what: format!("import cycle: {}", steps.collect::<Vec<_>>().join("; ")),
                why: "files of a crate import each other in one direction only",
            });
        }
    }
    findings
}

#[cfg(test)]
mod spec {
    use super::findings;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let files: Vec<_> =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        findings(&files).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn two_files_that_import_each_other_are_found() {
        let files = [
            ("a/src/lib.rs", "mod one;\nmod two;\n"),
            ("a/src/one.rs", "use crate::two::Two;\npub struct One(Two);\n"),
            ("a/src/two.rs", "pub struct Two;\nfn f(_: super::one::One) {}\n"),
        ];
        assert_eq!(
            found(&files),
            ["import cycle: a/src/one.rs -> two.rs (Two); a/src/two.rs -> one.rs (One)"]
        );
    }

    #[test]
    fn a_reexport_is_followed_and_is_no_import_itself() {
        let files = [
            ("a/src/lib.rs", "mod part;\n"),
            (
                "a/src/part/mod.rs",
                "mod one;\nmod two;\npub use one::One;\npub(crate) use two::{Two, make as made};\n",
            ),
            ("a/src/part/one.rs", "use super::{Two, made};\npub struct One(Two);\n"),
            ("a/src/part/two.rs", "pub struct Two;\npub fn make() {}\n"),
        ];
        assert!(found(&files).is_empty());
        let mut files = files;
        files[3].1 = "use super::One;\npub struct Two;\n";
        assert_eq!(found(&files).len(), 1);
    }

    #[test]
    fn a_module_and_its_child_that_use_each_other_are_found() {
        let files = [
            ("a/src/lib.rs", "mod part;\n"),
            ("a/src/part/mod.rs", "mod child;\nuse child::Field;\npub struct Whole(Field);\n"),
            ("a/src/part/child.rs", "use super::Whole;\npub struct Field;\nimpl Whole {}\n"),
        ];
        assert_eq!(found(&files).len(), 1);
        let mut files = files;
        files[1].1 = "mod child;\npub struct Whole;\n";
        assert!(found(&files).is_empty());
    }

    #[test]
    fn paths_through_an_imported_module_are_followed() {
        let files = [
            ("a/src/lib.rs", "mod one;\nmod two;\n"),
            ("a/src/one.rs", "use crate::two;\npub struct One;\nfn f() { two::call(); }\n"),
            ("a/src/two.rs", "use crate::one;\npub fn call() -> one::One {}\n"),
        ];
        assert_eq!(found(&files).len(), 1);
    }

    #[test]
    fn a_file_that_uses_its_own_reexport_imports_it() {
        let files = [
            ("a/src/lib.rs", "mod part;\n"),
            (
                "a/src/part/mod.rs",
                "mod one;\npub use one::One;\npub trait Make {}\nfn f() -> Box<dyn Make> { Box::new(One) }\n",
            ),
            ("a/src/part/one.rs", "use super::Make;\npub struct One;\nimpl Make for One {}\n"),
        ];
        assert_eq!(found(&files).len(), 1);
    }

    #[test]
    fn tests_and_other_crates_do_not_count() {
        let files = [
            ("a/src/lib.rs", "mod one;\nmod two;\n"),
            ("a/src/one.rs", "use crate::two::Two;\nuse std::fmt;\npub struct One(Two);\n"),
            ("a/src/two.rs", "pub struct Two;\n#[cfg(test)]\nmod tests {\n use crate::one::One;\n}\n"),
            ("b/src/lib.rs", "use a::one::One;\n"),
        ];
        assert!(found(&files).is_empty());
    }
}
