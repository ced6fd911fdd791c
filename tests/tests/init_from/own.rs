//! Weights of Kasmina's own runs, checkpoints, exports and files.

use kasmina_plugin_api::abi::Variable;
use kasmina_tests::{kasmina, output, registry};
use kasmina_trainer::config::InitConfig;
use kasmina_trainer::run::{Choice, SavedNetwork};
use kasmina_trainer::{RunConfig, Trainer};
use std::path::Path;
use tch::Device;

const CONFIG: &str = r#"
task = "digits"
epochs = 2
device = "cpu"
slots = ["block1"]
preinstalled = [{ slot = "block1", blueprint = "conv_light" }]
[data]
train_samples = 256
validation_samples = 64
"#;

/// Runs a command that must succeed. Returns what it wrote to standard error.
pub(super) fn must(home: &Path, arguments: &[&str]) -> String {
    let mut command = kasmina(home);
    command.args(arguments);
    let (_, stderr, code) = output(command);
    assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
    stderr
}

/// Trains `run` in `home`.
pub(super) fn train(home: &Path) {
    std::fs::write(home.join("run.toml"), CONFIG).unwrap();
    must(home, &["train", "--config", "run.toml", "--out", "run"]);
}

/// Whether the host of a new run has the weights of another one, bit for bit, buffers included.
fn begins_with(path: &Path, wanted: &[Variable]) -> bool {
    let init = InitConfig { from: Some(path.to_owned()), ..InitConfig::default() };
    let config = RunConfig { device: "cpu".to_owned(), seed: 7, init, ..RunConfig::default() };
    let registry = registry(&[]);
    let trainer = Trainer::prepare(config, &registry).unwrap();
    let found = trainer.model().host_variables().unwrap();
    found.len() == wanted.len()
        && found.iter().zip(wanted).all(|(a, b)| a.name == b.name && a.tensor.equal(&b.tensor))
}

#[test]
fn a_host_begins_with_the_weights_of_a_run_a_checkpoint_an_export_or_a_file() {
    let home = tempfile::tempdir().unwrap();
    train(home.path());
    must(home.path(), &["export", "run", "--to", "net"]);
    must(home.path(), &["export", "run", "--to", "weights", "--format", "safetensors"]);
    let saved = SavedNetwork::open(&home.path().join("run"), Choice::Last).unwrap();
    let trained = saved.build(&registry(&[]), Device::Cpu).unwrap().host_variables().unwrap();
    let checkpoint = saved.path().to_owned();
    let paths = [
        home.path().join("run"),
        checkpoint.clone(),
        checkpoint.join("model.safetensors"),
        home.path().join("net"),
        home.path().join("weights/model.safetensors"),
    ];
    for path in paths {
        assert!(begins_with(&path, &trained), "{}", path.display());
    }
    let other = SavedNetwork::open(&home.path().join("run"), Choice::Epoch(1)).unwrap();
    assert!(!begins_with(other.path(), &trained), "an earlier checkpoint has other weights");
}

/// The weights are read once: a resumed run does not need them.
#[test]
fn a_run_resumes_without_the_weights_that_it_began_with() {
    let home = tempfile::tempdir().unwrap();
    train(home.path());
    must(home.path(), &["export", "run", "--to", "net"]);
    let begin = ["train", "--config", "run.toml", "--init-from", "net", "--out"];
    must(home.path(), &[&begin[..], &["whole", "--epochs", "3"]].concat());
    must(home.path(), &[&begin[..], &["parts", "--epochs", "3", "--controller", "none"]].concat());
    std::fs::remove_dir_all(home.path().join("net")).unwrap();
    must(home.path(), &["train", "--resume", "parts", "--epochs", "4"]);
    let config = std::fs::read_to_string(home.path().join("parts/config.toml")).unwrap();
    assert!(config.contains("[init]") && config.contains("/net\""), "{config}");
    // The summary of a resumed run tells the hash of the weights too.
    let hash = |run: &str| {
        let text = std::fs::read_to_string(home.path().join(run).join("summary.json")).unwrap();
        let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
        summary["inputs"]["initial weights"].as_str().unwrap().to_owned()
    };
    assert_eq!(hash("parts"), hash("whole"));
    let losses = |run: &str| {
        let text = std::fs::read_to_string(home.path().join(run).join("metrics.jsonl")).unwrap();
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        first["train_loss"].as_f64().unwrap()
    };
    assert!(losses("whole") < losses("run"), "{} {}", losses("whole"), losses("run"));
}
