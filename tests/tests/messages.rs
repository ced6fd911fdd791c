//! Messages for bad input: what is wrong, where, and what to do. The exit code is not 0, and no run directory
//! is written.

use kasmina_tests::{built, fixture, kasmina, output};
use std::fmt::Write as _;
use std::path::Path;

/// Runs a command that must fail, and returns its message without the machine's paths.
fn message(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> String {
    let mut command = kasmina(dir);
    command.args(args).envs(env.iter().copied());
    let (stdout, stderr, code) = output(command);
    assert_eq!(stdout, "", "{args:?}: data on stdout");
    assert!(code.is_some_and(|c| c != 0), "{args:?}: {code:?} {stderr}");
    let mut text = stderr;
    for (path, name) in [
        (built().join("examples"), "[FIXTURES]"),
        (built().to_owned(), "[PLUGINS]"),
        (dir.to_owned(), "[DIR]"),
    ] {
        text = text.replace(&*path.to_string_lossy(), name);
    }
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
    lines.join("\n")
}

fn train_refused(args: &[&str], env: &[(&str, &str)]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let args = [&["train", "--epochs", "2", "--device", "cpu", "--out", "out"], args].concat();
    let text = message(dir.path(), &args, env);
    assert!(!dir.path().join("out").exists(), "{args:?}: nothing is written");
    text
}

#[test]
fn names_and_numbers() {
    let mut all = String::new();
    let cases: &[&[&str]] = &[
        &["--slots", "early,attic"],
        &["--slots", "early", "block0"],
        &["--blueprint", "unheard_of"],
        &["--blueprint", "mlp"],
        &["--blend-algorithm", "unheard_of"],
        &["--task", "unheard_of"],
        &["--controller", "unheard_of"],
        &["--device", "tpu"],
        &["--device", "cuda:7"],
        &["--epochs", "0"],
        &["--plugin-path", "no/such/folder"],
        &["--config", "no_such_file.toml"],
    ];
    for case in cases {
        let _ = writeln!(all, "$ kasmina train {}\n{}\n", case.join(" "), train_refused(case, &[]));
    }
    let none = train_refused(&[], &[("KASMINA_PLUGIN_PATH", "")]);
    let _ = writeln!(all, "$ KASMINA_PLUGIN_PATH= kasmina train\n{none}\n");
    let odd = train_refused(&[], &[("KASMINA_DISABLE_SEEDS", "maybe")]);
    let _ = writeln!(all, "$ KASMINA_DISABLE_SEEDS=maybe kasmina train\n{odd}\n");
    let dir = tempfile::tempdir().unwrap();
    let which = message(dir.path(), &["plugins", "schema", "norm"], &[]);
    let _ = writeln!(all, "$ kasmina plugins schema norm\n{which}\n");
    let alone = message(dir.path(), &["plugins", "schema", "cnn"], &[("KASMINA_PLUGIN_PATH", "")]);
    let _ = writeln!(all, "$ KASMINA_PLUGIN_PATH= kasmina plugins schema cnn\n{alone}");
    insta::assert_snapshot!(all);
}

#[test]
fn configuration_files() {
    let mut all = String::new();
    for text in [
        "epochs = \"many\"",
        "epocs = 3",
        "[lifecycle]\nauto_advance = [\"G5\"]",
        "[lifecycle.gates]\nmin_holding_stability = 1.5",
        "[host.config]\nn_blocks = 1",
        "[host.config]\nn_blokcs = 3",
        "[host.config]\nnum_classes = 7",
        "[blueprint_config]\nkernel_size = 4",
        "[optimizer]\nlearning_rate = -1.0",
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("run.toml"), text).unwrap();
        let error_text =
            message(dir.path(), &["train", "--device", "cpu", "--config", "run.toml", "--out", "out"], &[]);
        assert!(!dir.path().join("out").exists());
        let _ = writeln!(all, "{text}\n---\n{error_text}\n");
    }
    insta::assert_snapshot!(all);
}

#[test]
fn plugin_files() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_string_lossy().into_owned()
    };
    let twin = std::fs::read(fixture("twin")).unwrap();
    let mut other_torch = twin.clone();
    let from = format!("\"torch\":\"{}\"", kasmina_plugin_api::TORCH_VERSION);
    let places: Vec<usize> =
        twin.windows(from.len()).enumerate().filter(|(_, w)| *w == from.as_bytes()).map(|(i, _)| i).collect();
    for at in places {
        other_torch[at..at + from.len()].copy_from_slice(from.replace("2.11.0", "2.10.0").as_bytes());
    }
    let text = write("text.so", b"this is a text");
    let cut = write("cut.so", &twin[..twin.len() / 2]);
    let patched = write("patched.so", &other_torch);
    let c10 = kasmina_torch_ext::cuda::libtorch_dir().unwrap().join("libc10.so");
    let plain = write("plain.so", &std::fs::read(c10).unwrap());
    let mut all = String::new();
    for path in [&text, &cut, &patched, &plain] {
        let error_text = train_refused(&["--plugin-path", path], &[]);
        let error_text = error_text.replace(&*dir.path().to_string_lossy(), "[DIR]");
        let _ = writeln!(all, "{error_text}\n");
    }
    // Sizes differ from build to build.
    insta::with_settings!({filters => vec![(r"\d+ bytes, its segments need \d+", "[N] bytes, its segments need [M]")]}, {
        insta::assert_snapshot!(all);
    });
}

#[test]
fn plugins_that_misbehave() {
    let ill = fixture("ill_seeds").to_string_lossy().into_owned();
    let hosts = fixture("ill_hosts").to_string_lossy().into_owned();
    let twin = fixture("twin").to_string_lossy().into_owned();
    let mut all = String::new();
    for id in ["panics_in_build", "panics_in_forward", "wrong_shape", "always_nan", "dead", "twice_the_name"]
    {
        let error_text = train_refused(&["--plugin-path", &ill, "--blueprint", id], &[]);
        let _ = writeln!(all, "$ kasmina train --blueprint {id}\n{error_text}\n");
    }
    let error_text = train_refused(&["--plugin-path", &twin], &[]);
    let _ = writeln!(all, "two plugins with a blend `linear`\n{error_text}\n");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("run.toml"), "[host]\nid = \"skips_a_slot\"\n").unwrap();
    let args = [
        "train",
        "--device",
        "cpu",
        "--plugin-path",
        &hosts,
        "--config",
        "run.toml",
        "--no-seeds",
        "--out",
        "out",
    ];
    let _ = writeln!(all, "a host that skips a slot\n{}", message(dir.path(), &args, &[]));
    assert!(!dir.path().join("out").exists());
    // Hashes differ from build to build.
    insta::with_settings!({filters => vec![("generation=\"[0-9a-f]{12}\"", "generation=[HASH]")]}, {
        insta::assert_snapshot!(all);
    });
}

#[test]
fn a_panic_in_the_middle_of_a_run_leaves_a_valid_directory() {
    let dir = tempfile::tempdir().unwrap();
    let ill = fixture("ill_seeds").to_string_lossy().into_owned();
    let mut command = kasmina(dir.path());
    command.args(["train", "--device", "cpu", "--plugin-path", &ill, "--blueprint", "panics_later"]);
    command.args(["--epochs", "12", "--out", "out"]);
    std::fs::write(dir.path().join("early.toml"), "[growth]\nfirst_epoch = 1\n").unwrap();
    command.args(["--config", "early.toml"]);
    let (_, stderr, code) = output(command);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("the forward was told to panic at step 40 (panic)"), "{stderr}");
    let summary: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("out/summary.json")).unwrap()).unwrap();
    assert_eq!((&summary["status"], &summary["epochs"]), (&"failed".into(), &2.into()));
    let metrics = std::fs::read_to_string(dir.path().join("out/metrics.jsonl")).unwrap();
    assert!(metrics.ends_with('\n') && metrics.lines().count() == 2);
    assert!(metrics.lines().all(|l| serde_json::from_str::<serde_json::Value>(l).is_ok()));
}

#[test]
fn a_run_directory_is_not_written_twice() {
    let dir = tempfile::tempdir().unwrap();
    let train = |dir: &Path| {
        let mut command = kasmina(dir);
        command.args(["train", "--device", "cpu", "--epochs", "1", "--out", "out", "--no-seeds"]);
        output(command)
    };
    assert_eq!(train(dir.path()).2, Some(0));
    let first = std::fs::read(dir.path().join("out/summary.json")).unwrap();
    let (_, stderr, code) = train(dir.path());
    assert_eq!(code, Some(1));
    assert!(stderr.contains("run directory out: it already contains a run"), "{stderr}");
    assert!(stderr.contains("choose another directory with --out"), "{stderr}");
    assert_eq!(first, std::fs::read(dir.path().join("out/summary.json")).unwrap());
}

#[test]
fn the_listing_for_people() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = kasmina(dir.path());
    command.args(["plugins", "list"]);
    let (stdout, stderr, code) = output(command);
    assert_eq!((stderr.as_str(), code), ("", Some(0)));
    insta::assert_snapshot!(stdout);
}
