//! `kasmina plugins check --only pytorch`: the PyTorch source of a plugin computes what the plugin computes.

use kasmina_tests::python::give_python;
use kasmina_tests::{SHIPPED, fixture, kasmina, output, shipped};
use serde_json::Value;
use std::path::Path;

/// Runs the check on each entry of a file; returns its name, the result and the detail.
fn check(library: &Path) -> Option<Vec<(String, String, String)>> {
    let home = tempfile::tempdir().unwrap();
    let mut command = kasmina(home.path());
    if !give_python(&mut command, &format!("the PyTorch sources of {}", library.display())) {
        return None;
    }
    command.args(["plugins", "check", "--json", "--only", "pytorch"]).arg(library);
    let (stdout, stderr, _) = output(command);
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    let rows = report["rows"].as_array().unwrap().iter().filter(|row| row["check"] == "pytorch");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(rows.map(|row| (text(&row["entry"]), text(&row["result"]), text(&row["detail"]))).collect())
}

#[test]
fn every_shipped_plugin_computes_the_same_in_pytorch() {
    for name in SHIPPED {
        let Some(rows) = check(&shipped(name)) else { return };
        assert!(!rows.is_empty());
        for (entry, result, detail) in rows {
            // A TorchScript module is written as TorchScript.
            let wanted = if entry.contains("torchscript") { "skipped" } else { "pass" };
            assert_eq!(result, wanted, "{name} {entry}: {detail}");
        }
    }
}

#[test]
fn each_fault_of_a_source_is_told() {
    let Some(rows) = check(&fixture("sources")) else { return };
    let lines: Vec<String> =
        rows.into_iter().map(|(entry, result, detail)| format!("{entry}: {result}: {detail}")).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// Python finds no module in the working directory, which may be somebody else's project.
#[test]
fn nothing_in_the_working_directory_is_imported() {
    let home = tempfile::tempdir().unwrap();
    let mut command = kasmina(home.path());
    if !give_python(&mut command, "nothing_in_the_working_directory_is_imported") {
        return;
    }
    for name in ["json", "ast", "torch"] {
        std::fs::write(home.path().join(format!("{name}.py")), "open('planted', 'w')\n").unwrap();
    }
    command.args(["plugins", "check", "--only", "pytorch"]).arg(fixture("sources"));
    let (stdout, stderr, _) = output(command);
    assert!(stdout.contains("blueprint right"), "{stderr}");
    assert!(!home.path().join("planted").exists());
}
