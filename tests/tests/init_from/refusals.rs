//! Weights that cannot be read or do not fit.

use crate::own::{must, train};
use kasmina_tests::{kasmina, output};
use std::fs;
use tch::{Device, Kind, Tensor};

#[test]
fn weights_that_do_not_fit_are_listed() {
    let home = tempfile::tempdir().unwrap();
    train(home.path());
    must(home.path(), &["export", "run", "--to", "net"]);
    fs::write(home.path().join("text"), "no weights").unwrap();
    fs::create_dir(home.path().join("empty")).unwrap();
    fs::write(home.path().join("wide.toml"), "[host.config]\nbase_channels = 4\nn_blocks = 4\n").unwrap();
    let one = Tensor::zeros([1], (Kind::Float, Device::Cpu));
    Tensor::write_safetensors(&[("conv1.weight", &one)], home.path().join("foreign.safetensors")).unwrap();
    let mut told = String::new();
    for arguments in [
        ["--init-from", "missing"].as_slice(),
        &["--init-from", "text"],
        &["--init-from", "empty"],
        &["--init-from", "foreign.safetensors"],
        &["--init-from", "foreign.safetensors", "--allow-partial"],
        &["--init-from", "net", "--config", "wide.toml"],
        &["--init-from", "net", "--names", "gpt2"],
        &["--names", "gpt2"],
        &["--resume", "run", "--init-from", "net"],
    ] {
        let mut command = kasmina(home.path());
        command.arg("train").args(arguments);
        if !arguments.contains(&"--resume") {
            command.args(["--device", "cpu", "--out", "never"]);
        }
        let (stdout, stderr, code) = output(command);
        assert!(code != Some(0) && stdout.is_empty(), "{arguments:?}");
        told.push_str(&format!("$ kasmina train {}\n{stderr}\n", arguments.join(" ")));
    }
    assert!(!home.path().join("never").exists());
    insta::assert_snapshot!(told.replace(home.path().to_str().unwrap(), "HOME"));
}

/// A warning names what stays random.
#[test]
fn a_part_of_a_host_can_be_filled() {
    let home = tempfile::tempdir().unwrap();
    train(home.path());
    must(home.path(), &["export", "run", "--to", "net"]);
    fs::write(home.path().join("deep.toml"), "[host.config]\nn_blocks = 4\n").unwrap();
    let mut command = kasmina(home.path());
    command.args(["train", "--device", "cpu", "--epochs", "1", "--out", "deep", "--config", "deep.toml"]);
    command.args(["--init-from", "net", "--allow-partial", "--controller", "none"]);
    let (_, stderr, code) = output(command);
    assert_eq!(code, Some(0), "{stderr}");
    let told: Vec<&str> = stderr
        .lines()
        .skip_while(|l| !l.contains("initial weights"))
        .take_while(|l| !l.contains("epoch"))
        .collect();
    assert!(told.iter().any(|line| line.contains("missing") && line.contains("block3.")), "{stderr}");
}
