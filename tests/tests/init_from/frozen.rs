//! Seeds that learn on a host whose weights stay as they are.

use crate::own::must;
use kasmina_plugin_api::Mode;
use kasmina_tests::runs::{bits, lines};
use kasmina_tests::{gpu, kasmina, output, registry};
use kasmina_trainer::config::HostConfig;
use kasmina_trainer::run::{Choice, SavedNetwork};
use kasmina_trainer::{RunConfig, Trainer};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Host, task, blueprint and slots of each host that has another kind of layer.
const HOSTS: [(&str, &str, &str, &str); 3] = [
    ("cnn", "digits", "conv_light", ""),
    // Batch normalization has running statistics, which are weights of the host too.
    ("resnet", "digits", "norm", "\n[host.config]\ndepth = 8\nbase_channels = 8\n"),
    ("transformer", "addition", "lora", "\n[host.config]\nn_layer = 3\ndropout = 0.2\n"),
];

/// Writes the settings of a run with a seed in the slot `late`, and a controller that germinates more.
fn write_settings(home: &Path, (host, task, blueprint, config): (&str, &str, &str, &str)) {
    let text = format!(
        "task = \"{task}\"\nepochs = 8\ndevice = \"cpu\"\nslots = [\"early\", \"late\"]\nblueprint = \"{blueprint}\"\n\
         preinstalled = [{{ slot = \"late\", blueprint = \"{blueprint}\" }}]\n\
         [data]\ntrain_samples = 256\nvalidation_samples = 64\n[host]\nid = \"{host}\"\n{config}"
    );
    std::fs::write(home.join("run.toml"), text).unwrap();
}

/// Returns the name and the bytes of each weight in the last checkpoint of a run, of the host or of the
/// seeds.
fn weights(run: &Path, of_host: bool) -> Vec<(String, Vec<u8>)> {
    let saved = SavedNetwork::open(run, Choice::Last).unwrap();
    let wanted = saved.weights().iter().filter(|(name, _)| name.starts_with("host.") == of_host);
    wanted.map(|(name, view)| (name.to_owned(), view.bytes.to_vec())).collect()
}

/// Trains seeds on a frozen host, and checks that the host has the same bits at the end, that the seeds have
/// learned, and that gradients were measured. Steps on a GPU must be captured.
fn check(host: (&str, &str, &str, &str), device: &str) {
    let home = tempfile::tempdir().unwrap();
    write_settings(home.path(), host);
    let train = ["train", "--config", "run.toml", "--device", device];
    must(home.path(), &[&train[..], &["--no-seeds", "--out", "base", "--epochs", "2"]].concat());
    let frozen = [&train[..], &["--init-from", "base", "--freeze-host", "--seed", "5"]].concat();
    let told = must(home.path(), &[&frozen[..], &["--epochs", "12", "--out", "run"]].concat());
    assert!(!told.contains("not captured"), "{told}");
    let at = |run: &str, of_host| weights(&home.path().join(run), of_host);
    assert_eq!(at("base", true), at("run", true), "{}", host.0);
    must(home.path(), &[&frozen[..], &["--epochs", "1", "--out", "short"]].concat());
    // The preinstalled seed, which is in both runs.
    let seed = |run: &str| -> Vec<Vec<u8>> {
        let all = at(run, false).into_iter().filter(|(name, _)| name.contains("2.seed"));
        all.map(|(_, bytes)| bytes).collect()
    };
    assert!(!seed("run").is_empty() && seed("run") != seed("short"), "{}", host.0);
    let epochs = lines(&home.path().join("run/metrics.jsonl"));
    let slots = epochs.iter().flat_map(|epoch| epoch["slots"].as_object().unwrap().values());
    let ratios = slots.filter_map(|slot| slot["gradient_ratio"].as_f64());
    assert!(ratios.fold(0.0, f64::max) > 0.0, "{}: no gradient ratio was measured", host.0);
}

#[test]
fn the_weights_of_a_frozen_host_are_the_same_bits_at_the_end() {
    for host in HOSTS {
        check(host, "cpu");
    }
}

#[test]
fn the_same_on_a_gpu_with_captured_steps() {
    if gpu("the_same_on_a_gpu_with_captured_steps").is_some() {
        for host in HOSTS {
            check(host, "cuda:0");
        }
    }
}

/// The gradients of the host are computed for the measurement alone, so another interval of measurements
/// changes nothing else.
#[test]
fn measurements_do_not_change_what_seeds_learn() {
    let home = tempfile::tempdir().unwrap();
    write_settings(home.path(), HOSTS[1]);
    must(home.path(), &["train", "--config", "run.toml", "--no-seeds", "--out", "base", "--epochs", "2"]);
    let settings = std::fs::read_to_string(home.path().join("run.toml")).unwrap();
    for (name, interval) in [("each", 1), ("rare", 1_000_000)] {
        let text = format!("telemetry_interval = {interval}\n{settings}");
        std::fs::write(home.path().join(format!("{name}.toml")), text).unwrap();
        let file = format!("{name}.toml");
        must(
            home.path(),
            &[
                "train",
                "--config",
                &file,
                "--init-from",
                "base",
                "--freeze-host",
                "--controller",
                "none",
                "--out",
                name,
            ],
        );
    }
    let at = |run: &str| weights(&home.path().join(run), false);
    assert!(!at("each").is_empty());
    assert_eq!(at("each"), at("rare"));
}

/// A step saves and restores buffers when it may have to be repeated, and the weights of a frozen host are
/// none.
#[test]
fn the_parameters_of_a_frozen_host_are_no_buffers() {
    let base = RunConfig::default();
    let host = HostConfig { frozen: true, ..base.host.clone() };
    let config = RunConfig { device: "cpu".to_owned(), host, ..base };
    let registry = registry(&[]);
    let mut model = Trainer::prepare(config, &registry).unwrap().into_model();
    let x = Tensor::randn([4, 1, 8, 8], (Kind::Float, Device::Cpu));
    assert!(!model.forward(&x, Mode::Train).unwrap().requires_grad(), "no gradient of a weight is computed");
    let parameters = model.host_variables().unwrap().into_iter().filter(|v| v.trainable).count();
    assert!(parameters > 0 && parameters == model.host_parameters().count());
}

#[test]
fn a_run_with_a_frozen_host_resumes_to_the_same_bits() {
    let home = tempfile::tempdir().unwrap();
    write_settings(home.path(), HOSTS[0]);
    let frozen = ["train", "--config", "run.toml", "--freeze-host", "--out"];
    let random = "the host is frozen with random weights";
    assert!(must(home.path(), &[&frozen[..], &["whole"]].concat()).contains(random));
    let resumed = must(home.path(), &["train", "--resume", "whole", "--from", "7", "--out", "parts"]);
    assert!(!resumed.contains(random), "its weights are those of the checkpoint: {resumed}");
    let at = |run: &str| bits(&home.path().join(run));
    let (whole, parts) = (at("whole"), at("parts"));
    assert!(!parts.is_empty() && whole[whole.len() - 1] == parts[parts.len() - 1]);
    for of_host in [true, false] {
        let weights = |run: &str| weights(&home.path().join(run), of_host);
        assert_eq!(weights("whole"), weights("parts"));
    }
}

#[test]
fn a_run_in_which_nothing_can_learn_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let mut command = kasmina(home.path());
    command.args(["train", "--freeze-host", "--no-seeds", "--device", "cpu", "--out", "run"]);
    let (stdout, stderr, code) = output(command);
    assert!(code == Some(1) && stdout.is_empty());
    insta::assert_snapshot!(stderr);
}
