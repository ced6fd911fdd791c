//! `kasmina plugins new`: what it writes builds, passes every check and its own tests, and lives in a run.

use kasmina_tests::author::{cargo, library, must};
use kasmina_tests::runs::lines;
use kasmina_tests::{kasmina, output, say};
use std::fmt::Write as _;
use std::path::Path;

const NOTHING: [&str; 0] = [];

/// From nothing to a seed in a network, as the README of the crate has it.
fn author(kind: &str, train: &[&str]) {
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
    let checked = must(kasmina(dir.path()), ["plugins", "check", library]);
    assert!(checked.contains(" 0 failed"), "{checked}");

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
fn a_blueprint_from_nothing_to_a_seed() {
    author("blueprint", &[]);
}

#[test]
fn a_blend_from_nothing_to_a_seed() {
    author("blend", &[]);
}

#[test]
fn a_host_from_nothing_to_a_seed() {
    author("host", &[]);
}

/// What cannot be written is told with what to do, and nothing is written.
#[test]
fn what_cannot_be_a_crate_is_told() {
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
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is written");
    insta::assert_snapshot!(all);
}

/// What is written, and that the sources can be named.
#[test]
fn the_files_of_a_crate() {
    let dir = tempfile::tempdir().unwrap();
    let api = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-api");
    let args = ["plugins", "new", "gate", "--kind", "blend", "--path", api.to_str().unwrap()];
    let told = must(kasmina(dir.path()), args);
    assert!(told.starts_with("written: gate, a crate with the blend `gate`"), "{told}");
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
