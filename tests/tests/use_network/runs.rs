//! Short runs whose networks are used.

use kasmina_tests::{kasmina, output};
use std::path::Path;

/// Images with three seeds, of which one is not fossilized at the end.
pub(super) const DIGITS: &str = r#"
task = "digits"
epochs = 15
device = "cpu"
blend = "gated"
slots = ["block0", "block1", "block2"]
preinstalled = [
    { slot = "block0", blueprint = "conv_light" },
    { slot = "block1", blueprint = "attention" },
]
"#;

/// Sequences with seeds that read all earlier tokens, behind a gate.
pub(super) const ADDITION: &str = r#"
task = "addition"
epochs = 2
device = "cpu"
controller = "none"
blend = "gated"
slots = ["block0", "block1"]
preinstalled = [
    { slot = "block0", blueprint = "attention" },
    { slot = "block1", blueprint = "flex_attention" },
]
[alpha]
target = 0.7
[data]
train_samples = 256
validation_samples = 64
[host.config]
n_embd = 16
n_head = 2
n_layer = 2
"#;

/// Trains `run` in `home`.
pub(super) fn train(home: &Path, config: &str) {
    std::fs::write(home.join("run.toml"), config).unwrap();
    must(home, &["train", "--config", "run.toml", "--out", "run"]);
}

/// Trains `run` in `home`, and exports it to `out`.
pub(super) fn train_and_export(home: &Path, config: &str) {
    train(home, config);
    must(home, &["export", "run", "--to", "out"]);
}

/// Runs a command that must succeed. Returns its standard output.
pub(super) fn must(home: &Path, arguments: &[&str]) -> String {
    let mut command = kasmina(home);
    command.args(arguments);
    let (stdout, stderr, code) = output(command);
    assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
    stdout
}
