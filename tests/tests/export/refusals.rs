//! Refused exports, each with one message and without a partial folder; and the model card of a successful
//! one.

use kasmina_tests::{kasmina, output};
use std::fs;
use std::path::Path;

/// Trains a run of one epoch.
fn train(home: &Path, settings: &str) {
    let text = format!(
        "task = \"digits\"\nepochs = 1\ndevice = \"cpu\"\ncontroller = \"none\"\n{settings}\n\
         [data]\ntrain_samples = 64\nvalidation_samples = 32\n"
    );
    fs::write(home.join("run.toml"), text).unwrap();
    let mut command = kasmina(home);
    command.args(["train", "--config", "run.toml", "--out", "run"]);
    let (_, stderr, code) = output(command);
    assert_eq!(code, Some(0), "{stderr}");
}

#[test]
fn each_refusal_is_one_message_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    train(home.path(), "");
    fs::create_dir(home.path().join("empty")).unwrap();
    fs::write(home.path().join("file"), "").unwrap();
    let mut told = String::new();
    for arguments in [
        ["missing", "--to", "out"].as_slice(),
        &["empty", "--to", "out"],
        &["file", "--to", "out"],
        &["run", "--to", "empty"],
        &["run", "--to", "run"],
        &["run", "--to", "file/out"],
        &["run", "--to", "out", "--checkpoint", "7"],
        &["run", "--to", "out", "--checkpoint", "newest"],
    ] {
        let mut command = kasmina(home.path());
        command.arg("export").args(arguments);
        let (stdout, stderr, code) = output(command);
        assert_ne!(code, Some(0), "{arguments:?}");
        assert_eq!(stdout, "");
        told.push_str(&format!("$ kasmina export {}\n{stderr}\n", arguments.join(" ")));
    }
    let left =
        fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let written: Vec<_> = left.filter(|name| name == "out" || name.contains(".part")).collect();
    assert!(written.is_empty(), "{written:?}");
    assert_eq!(fs::read_dir(home.path().join("empty")).unwrap().count(), 0);
    insta::assert_snapshot!(told);
}

/// The message names the part and its slot, whether the export is refused or written in another format.
#[test]
fn a_part_without_pytorch_source_is_refused_by_name() {
    let home = tempfile::tempdir().unwrap();
    let fixture = kasmina_tests::fixture("dropout");
    let settings = "preinstalled = [{ slot = \"mid\", blueprint = \"dropout\" }]";
    let text = format!(
        "task = \"digits\"\nepochs = 1\ndevice = \"cpu\"\ncontroller = \"none\"\n{settings}\n\
         [data]\ntrain_samples = 64\nvalidation_samples = 32\n"
    );
    fs::write(home.path().join("run.toml"), text).unwrap();
    let mut train = kasmina(home.path());
    train.args(["train", "--config", "run.toml", "--out", "run", "--plugin-path"]).arg(&fixture);
    let (_, stderr, code) = output(train);
    assert_eq!(code, Some(0), "{stderr}");
    let export = |more: &[&str]| {
        let mut export = kasmina(home.path());
        export.args(["export", "run", "--to", "out", "--plugin-path"]).arg(&fixture).args(more);
        output(export)
    };
    let (_, stderr, code) = export(&["--format", "pytorch"]);
    assert_eq!(code, Some(1));
    insta::assert_snapshot!(stderr);
    assert!(!home.path().join("out").exists());
    // Without a choice of the format it is written as TorchScript.
    let (stdout, stderr, code) = export(&[]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stdout, "wrote out (torchscript): kasmina_hosts::cnn with 1 seed, of epoch 1, step 1\n");
    assert_eq!(
        stderr,
        "blueprint `fixture_dropout::dropout` in slot `block1` has no PyTorch source, so the network is written as TorchScript\n"
    );
    assert!(home.path().join("out/model.pt").is_file());
}

/// Also checks the generated definition of the network.
#[test]
fn the_model_card_describes_the_origin_of_the_network() {
    let home = tempfile::tempdir().unwrap();
    train(home.path(), "preinstalled = [{ slot = \"mid\", blueprint = \"conv_light\" }]\nblend = \"gated\"");
    let mut command = kasmina(home.path());
    command.args(["export", "run", "--to", "out"]);
    let (stdout, stderr, code) = output(command);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(stdout, "wrote out (pytorch): kasmina_hosts::cnn with 1 seed, of epoch 1, step 1\n");
    let card = fs::read_to_string(home.path().join("out/README.md")).unwrap();
    let modeling = fs::read_to_string(home.path().join("out/modeling_kasmina.py")).unwrap();
    let network = modeling.find("def network():").unwrap();
    let end = modeling.find("def load(").unwrap();
    insta::with_settings!({ filters => vec![("[0-9a-f]{64}", "<SHA-256>"), (r"\| score of the validation \| .*", "| score of the validation | <SCORE> |")] }, {
        insta::assert_snapshot!(format!("{card}\n{}", modeling[network..end].trim_end()));
    });
}
