//! Exports of every format are networks that can be used.

use crate::runs::{ADDITION, must, train};
use kasmina_tests::{kasmina, output};
use std::fs;
use std::path::Path;

const FORMATS: [&str; 3] = ["pytorch", "torchscript", "safetensors"];

/// Trains a run of the addition task and exports it in every format, to a folder of the format's name.
fn exports(home: &Path) {
    train(home, ADDITION);
    for format in FORMATS {
        must(home, &["export", "run", "--to", format, "--format", format]);
    }
}

#[test]
fn every_format_gives_the_numbers_and_the_text_of_the_run() {
    let home = tempfile::tempdir().unwrap();
    exports(home.path());
    must(home.path(), &["export", "run", "--to", "half", "--format", "torchscript", "--dtype", "bf16"]);
    let first = |text: String| text.lines().next().unwrap().to_owned();
    let eval = |path: &str| first(must(home.path(), &["eval", path, "--device", "cpu"]));
    let generate = |path: &str| {
        let fixed = ["--prompt", "407+0", "--temperature", "0", "--device", "cpu"];
        must(home.path(), &[&["generate", path], &fixed[..]].concat())
    };
    let (numbers, text) = (eval("run"), generate("run"));
    for format in FORMATS {
        assert_eq!(eval(format), numbers, "{format}");
        assert_eq!(generate(format), text, "{format}");
    }
    // A module keeps its type.
    assert!(eval("half").starts_with("addition: loss "));
    let mut command = kasmina(home.path());
    command.args(["generate", "torchscript", "--prompt", "1", "--dtype", "bf16", "--device", "cpu"]);
    let (_, stderr, code) = output(command);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(stderr);
}

/// A module is a program: another user runs it only when told so, and then again without.
#[test]
fn a_module_of_somebody_else_is_refused() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    exports(home.path());
    for file in ["config.json", "model.pt"] {
        fs::create_dir_all(other.path().join("torchscript")).unwrap();
        fs::copy(home.path().join("torchscript").join(file), other.path().join("torchscript").join(file))
            .unwrap();
    }
    let eval = |more: &[&str]| {
        let mut command = kasmina(other.path());
        command.args(["eval", "torchscript", "--device", "cpu"]).args(more);
        output(command)
    };
    let (stdout, stderr, code) = eval(&[]);
    assert!(code == Some(1) && stdout.is_empty());
    insta::assert_snapshot!(stderr);
    let (_, stderr, code) = eval(&["--trust-run"]);
    assert_eq!(code, Some(0), "{stderr}");
    let (_, stderr, code) = eval(&[]);
    assert_eq!(code, Some(0), "{stderr}");
    // Other bytes are another program.
    let path = other.path().join("torchscript/model.pt");
    let mut bytes = fs::read(&path).unwrap();
    bytes.push(0);
    fs::write(&path, bytes).unwrap();
    assert_eq!(eval(&[]).2, Some(1));
}
