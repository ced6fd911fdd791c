//! `kasmina plugins new`: the crates that it writes build, pass every check and their own tests, and work in
//! a run.

use kasmina_tests::author::{cargo, library, must};
use kasmina_tests::python::give_python;
use kasmina_tests::runs::lines;
use kasmina_tests::{kasmina, output, say};
use std::fmt::Write as _;
use std::path::Path;

const NOTHING: [&str; 0] = [];

/// Follows the README of a new crate: creates it, tests, builds and checks it, and trains with its plugin.
fn create_and_train(kind: &str, train: &[&str]) {
    if std::env::var_os("KASMINA_TEST_BUILT").is_some() {
        say(&format!("SKIPPED authoring a {kind}: there is no cargo"));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let name = format!("authored-{kind}");
    let id = name.replace('-', "_");
    must(kasmina(dir.path()), ["plugins", "new", &name, "--kind", kind]);
    let folder = dir.path().join(&name);

    // The conformance test of the crate is among its tests.
    let tested = must(cargo("test", &folder), NOTHING);
    assert!(tested.contains("test conformance ... ok"), "{tested}");
    must(cargo("build", &folder), NOTHING);
    let library = library(&id);
    let library = library.to_str().unwrap();
    let mut check = kasmina(dir.path());
    let compares = give_python(&mut check, &format!("the PyTorch source of a new {kind}"));
    let checked = must(check, ["plugins", "check", library]);
    assert!(checked.contains(" 0 failed"), "{checked}");
    let row = checked.lines().find(|line| line.contains(" pytorch ")).unwrap();
    assert!(!compares || row.contains(" pass "), "{row}");

    std::fs::write(dir.path().join("run.toml"), format!("[host]\nid = \"{}\"\n", host(kind, &id))).unwrap();
    let germinate = serde_json::json!({
        "epoch": 1, "command": "germinate", "slot": "early", "seed_id": "s1",
        "blueprint": if kind == "blueprint" { &id } else { "conv_light" },
        "blend": if kind == "blend" { &id } else { "linear" },
    });
    std::fs::write(dir.path().join("script.jsonl"), format!("{germinate}\n")).unwrap();
    let mut run = kasmina(dir.path());
    run.args([
        "train",
        "--device",
        "cpu",
        "--epochs",
        "2",
        "--config",
        "run.toml",
        "--script",
        "script.jsonl",
    ]);
    run.args(["--plugin-path", library, "--out", "out", "--json"]);
    let summary: serde_json::Value = serde_json::from_str(&must(run, train)).unwrap();
    let names: Vec<&str> =
        summary["plugins"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert!(names.contains(&id.as_str()), "{summary}");
    let events = lines(&dir.path().join("out/events.jsonl"));
    assert!(events.iter().any(|e| e["event"] == "SEED_GERMINATED" && e["slot_id"] == "block0"), "{events:?}");
}

fn host<'a>(kind: &str, id: &'a str) -> &'a str {
    if kind == "host" { id } else { "cnn" }
}

#[test]
fn a_new_blueprint_crate_builds_passes_its_checks_and_trains() {
    create_and_train("blueprint", &[]);
}

#[test]
fn a_new_blend_crate_builds_passes_its_checks_and_trains() {
    create_and_train("blend", &[]);
}

#[test]
fn a_new_host_crate_builds_passes_its_checks_and_trains() {
    create_and_train("host", &[]);
}

/// The message contains a remedy, and nothing is written.
#[test]
fn a_crate_that_cannot_be_created_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("there")).unwrap();
    let mut all = String::new();
    for case in [
        &["there", "--kind", "blend"][..],
        &["My Gate", "--kind", "blend"],
        &["2gate", "--kind", "blend"],
        &["crates/gate", "--kind", "blend"],
        &["core", "--kind", "blueprint"],
        &["gate", "--kind", "blend", "--path", "there"],
        &["gate", "--kind", "seed"],
    ] {
        let mut command = kasmina(dir.path());
        command.args(["plugins", "new"]).args(case);
        let (stdout, stderr, code) = output(command);
        assert!(stdout.is_empty() && code != Some(0), "{case:?}: {stdout}");
        let lines: Vec<&str> = stderr.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
        let _ = writeln!(all, "$ kasmina plugins new {}\n{}\n", case.join(" "), lines.join("\n"));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "only `there` exists");
    insta::assert_snapshot!(all);
}

/// With `--path`, which names the sources of `kasmina-plugin-api`.
#[test]
fn a_new_crate_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let api = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-api");
    let args = ["plugins", "new", "gate", "--kind", "blend", "--path", api.to_str().unwrap()];
    let printed = must(kasmina(dir.path()), args);
    assert!(printed.starts_with("wrote gate, a crate with the blend `gate`"), "{printed}");
    for path in [
        ".cargo/config.toml",
        ".gitignore",
        "Cargo.lock",
        "Cargo.toml",
        "README.md",
        "src/lib.rs",
        "tests/conformance.rs",
    ] {
        let text = std::fs::read_to_string(dir.path().join("gate").join(path)).unwrap();
        assert!(!text.is_empty() && !text.contains("{{"), "{path}: {text}");
    }
    let config = std::fs::read_to_string(dir.path().join("gate/.cargo/config.toml")).unwrap();
    let config: toml::Table = config.parse().unwrap();
    let libtorch = Path::new(config["env"]["LIBTORCH"].as_str().unwrap());
    assert!(libtorch.join("lib/libtorch_cpu.so").is_file() && libtorch.join("include").is_dir());
}
