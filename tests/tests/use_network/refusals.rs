//! Refused uses, each with one message.

use crate::runs::{ADDITION, DIGITS, must, train, train_and_export};
use kasmina_tests::{kasmina, output};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Runs commands that must fail, and returns what they print.
fn refusals(home: &Path, commands: &[&[&str]]) -> String {
    let mut told = String::new();
    for arguments in commands {
        let mut command = kasmina(home);
        command.args(*arguments);
        let (stdout, stderr, code) = output(command);
        assert!(code != Some(0) && stdout.is_empty(), "{arguments:?}: {stdout}");
        told.push_str(&format!("$ kasmina {}\n{stderr}\n", arguments.join(" ")));
    }
    told
}

#[test]
fn a_use_that_does_not_fit_the_network_is_refused() {
    let home = tempfile::tempdir().unwrap();
    train_and_export(home.path(), DIGITS);
    fs::write(home.path().join("text.png"), "no picture").unwrap();
    image::GrayImage::new(9, 8).save(home.path().join("large.png")).unwrap();
    fs::create_dir(home.path().join("empty")).unwrap();
    let told = refusals(
        home.path(),
        &[
            &["eval", "missing"],
            &["eval", "empty"],
            &["eval", "run", "--checkpoint", "77"],
            &["eval", "out", "--task", "addition"],
            &["eval", "out", "--task", "poems"],
            &["eval", "out", "--device", "tpu"],
            &["generate", "out", "--prompt", "a"],
            &["predict", "out", "--input", "missing.png"],
            &["predict", "out", "--input", "text.png"],
            &["predict", "out", "--input", "large.png"],
            &["predict", "out", "--input", "large.png", "--top", "0"],
        ],
    );
    insta::assert_snapshot!(told);
}

#[test]
fn a_prompt_that_the_network_does_not_know_is_refused() {
    let home = tempfile::tempdir().unwrap();
    train_and_export(home.path(), ADDITION);
    let told = refusals(
        home.path(),
        &[
            &["generate", "out", "--prompt", "12+b"],
            &["generate", "out", "--prompt", ""],
            &["generate", "out", "--prompt", "1", "--temperature", "-1"],
            &["generate", "out", "--prompt", "1", "--temperature", "NaN"],
            &["generate", "out", "--prompt", "1", "--top-k", "0"],
            &["predict", "out", "--input", "a.png"],
            &["eval", "out", "--task", "chars"],
        ],
    );
    insta::assert_snapshot!(told);
}

/// JSON contains names that are not UTF-8 as text.
#[test]
fn names_that_are_not_text_are_no_obstacle() {
    use std::os::unix::ffi::OsStrExt as _;
    let home = tempfile::tempdir().unwrap();
    train(home.path(), DIGITS);
    let name = |bytes: &[u8]| std::ffi::OsStr::from_bytes(bytes).to_owned();
    let (folder, picture) = (name(b"n\xffet"), name(b"p\xff.png"));
    let small = image::GrayImage::new(8, 8);
    small.save_with_format(home.path().join(&picture), image::ImageFormat::Png).unwrap();
    let run = |arguments: &[&std::ffi::OsStr]| {
        let mut command = kasmina(home.path());
        command.args(arguments);
        let (stdout, stderr, code) = output(command);
        assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
        assert!(stdout.contains('\u{fffd}'), "{stdout}");
    };
    let text = std::ffi::OsStr::new;
    run(&[text("export"), text("run"), text("--to"), &folder, text("--json")]);
    run(&[text("eval"), &folder, text("--json")]);
    run(&[text("predict"), &folder, text("--input"), &picture, text("--json")]);
}

/// A changed description, and weights that lack a tensor or have another shape.
#[test]
fn a_damaged_export_is_refused_by_the_part_that_is_wrong() {
    let home = tempfile::tempdir().unwrap();
    train_and_export(home.path(), ADDITION);
    let path = home.path().join("out/config.json");
    let config = fs::read_to_string(&path).unwrap();
    let mut told = String::new();
    let mut altered = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&config).unwrap();
        change(&mut value);
        fs::write(&path, value.to_string()).unwrap();
        told.push_str(&refusals(home.path(), &[&["eval", "out", "--device", "cpu"]]));
    };
    altered(&|value| value["kasmina"] = Value::Null);
    altered(&|value| value["kasmina"]["host"]["config"]["n_embd"] = 32.into());
    altered(&|value| value["kasmina"]["host"]["config"]["n_layer"] = 3.into());
    altered(&|value| value["kasmina"]["host"]["entry"]["id"] = "mamba".into());
    altered(&|value| value["kasmina"]["seeds"][0]["slot"] = "block7".into());
    altered(&|value| value["kasmina"]["seeds"][0]["seed"]["config"]["heads"] = "two".into());
    altered(&|value| value["interface"]["input"] = "sound".into());
    altered(&|value| value["interface"]["classes"] = Value::Array(Vec::new()));
    altered(&|value| value["interface"]["input"]["tokens"]["length"] = 0.into());
    fs::write(&path, &config).unwrap();
    let weights = home.path().join("out/model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    told.push_str(&refusals(home.path(), &[&["eval", "out"]]));
    // Files that other formats consist of.
    for (format, file) in [("torchscript", "model.pt"), ("safetensors", "seeds.safetensors")] {
        must(home.path(), &["export", "run", "--to", format, "--format", format]);
        let file = home.path().join(format).join(file);
        fs::write(&file, "other").unwrap();
        told.push_str(&refusals(home.path(), &[&["eval", format, "--device", "cpu", "--trust-run"]]));
        fs::remove_file(&file).unwrap();
        told.push_str(&refusals(home.path(), &[&["eval", format, "--device", "cpu", "--trust-run"]]));
    }
    insta::assert_snapshot!(told);
}
