//! The documentation is complete: every label, code, limit and catalogue entry is in it.

use kasmina::lifecycle::{Check, RefusalCode};
use kasmina::model::CommandCode;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn document(name: &str) -> String {
    fs::read_to_string(format!("{}/../docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// Returns the serialized names of an enumeration's variants, from its schema.
fn names<T: schemars::JsonSchema>() -> BTreeSet<String> {
    let schema = serde_json::to_value(schemars::schema_for!(T)).unwrap();
    let one = |v: &serde_json::Value| -> Vec<String> {
        let listed = v["enum"].as_array().into_iter().flatten().chain(v.get("const"));
        listed.map(|n| n.as_str().unwrap().to_owned()).collect()
    };
    let parts = schema["oneOf"].as_array().into_iter().flatten().flat_map(one);
    parts.chain(one(&schema)).collect()
}

#[test]
fn every_label_and_every_code_is_explained() {
    let text = document("troubleshooting.md");
    let headings: BTreeSet<&str> = text.lines().filter_map(|l| l.strip_prefix("### ")).collect();
    let labels = names::<Check>();
    assert!(labels.len() > 25, "{labels:?}");
    for label in &labels {
        let good = text.contains(&format!("`{label}`"));
        assert!(good || headings.contains(label.as_str()), "label `{label}` is not in troubleshooting.md");
    }
    let codes = names::<RefusalCode>();
    assert_eq!(codes.len(), 9, "{codes:?}");
    let core = names::<CommandCode>();
    assert!(core.len() > 20, "{core:?}");
    for code in codes.iter().chain(&core) {
        assert!(headings.contains(code.as_str()), "code `{code}` has no heading in troubleshooting.md");
    }
}

/// Each heading that `kasmina explain` refers to exists.
#[test]
fn every_label_that_explain_refers_to_has_a_heading() {
    let text = document("troubleshooting.md");
    let headings: BTreeSet<&str> = text.lines().filter_map(|l| l.strip_prefix("### ")).collect();
    for label in [
        "global_improvement_insufficient",
        "seed_not_ready",
        "seed_gradient_low",
        "gradient_stats_never_measured",
        "isolation_violations",
        "blending_incomplete",
        "alpha_low",
        "shadowing_incomplete",
        "counterfactual_not_available",
        "unhealthy",
        "insufficient_contribution",
    ] {
        assert!(headings.contains(label), "{label}");
    }
}

/// Runs the script of docs/runbook.md; the snapshot shows which commands are granted.
#[test]
fn the_runbook_s_script_runs() {
    let text = document("runbook.md");
    let script = text.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("script.jsonl"), script).unwrap();
    let mut command = kasmina_tests::kasmina(dir.path());
    command.args(["train", "--device", "cpu", "--epochs", "32", "--script", "script.jsonl", "--out", "r"]);
    let (_, stderr, code) = kasmina_tests::output(command);
    assert_eq!(code, Some(0), "{stderr}");
    let rows = kasmina_tests::runs::lines(&dir.path().join("r/commands.jsonl"));
    assert_eq!(rows.iter().filter(|r| r["landed"] != true).count(), script.lines().count());
    let told: Vec<String> = rows
        .iter()
        .map(|r| {
            format!("{} {} {}", r["epoch"], r["command"], r["error"]["code"].as_str().unwrap_or("granted"))
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

/// docs/catalogue.md is up to date; `KASMINA_UPDATE_DOCS=1` writes it.
#[test]
fn the_catalogue_is_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = kasmina_tests::kasmina(dir.path());
    command.args(["plugins", "catalogue"]);
    let (page, stderr, code) = kasmina_tests::output(command);
    assert_eq!(code, Some(0), "{stderr}");
    if std::env::var_os("KASMINA_UPDATE_DOCS").is_some() {
        fs::write(format!("{}/../docs/catalogue.md", env!("CARGO_MANIFEST_DIR")), &page).unwrap();
    }
    assert_eq!(page, document("catalogue.md"), "run this test with KASMINA_UPDATE_DOCS=1");
}

/// Tests name the numbered sentences of docs/security.md that they cover; together they cover every sentence.
#[test]
fn every_security_sentence_is_covered_by_a_test() {
    let text = document("security.md");
    let sentence = |line: &str| line.split_once(". ").and_then(|(number, _)| number.parse::<u32>().ok());
    let sentences: BTreeSet<u32> = text.lines().filter_map(sentence).collect();
    let mut covered = BTreeSet::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut folders = vec![root.join("tests/tests"), root.join("registry/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let mut lines = text.lines().map(str::trim).peekable();
                while let Some(line) = lines.next() {
                    let Some(numbers) = line.strip_prefix("/// docs/security.md: ") else { continue };
                    assert_eq!(lines.peek(), Some(&"#[test]"), "{}: {line}", path.display());
                    covered.extend(numbers.split(", ").map(|number| number.parse::<u32>().unwrap()));
                }
            }
        }
    }
    assert_eq!(
        sentences.len() as u32,
        *sentences.last().unwrap(),
        "the sentences are numbered consecutively"
    );
    assert_eq!(covered, sentences);
}

/// The table of limits in docs/security.md has the code's values.
#[test]
fn every_limit_is_in_the_table() {
    let text = document("security.md");
    for limit in kasmina_files::limit::ALL {
        let row = format!("| {} | {} |", limit.kind, limit.bytes);
        assert!(text.contains(&row), "security.md lacks: {row}");
    }
}
