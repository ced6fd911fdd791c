//! `kasmina export --adapter`: the seeds alone, which load onto the weights of their host again, and as an
//! adapter of PEFT.

use kasmina_export::{Network, Source};
use kasmina_registry::Registry;
use kasmina_tests::python::python;
use kasmina_tests::{kasmina, output, registry, say};
use kasmina_trainer::run::Choice;
use std::fs;
use std::path::Path;
use tch::{Device, Kind, Tensor};

fn must(home: &Path, arguments: &[&str]) -> String {
    let mut command = kasmina(home);
    command.args(arguments);
    let (stdout, stderr, code) = output(command);
    assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
    stdout
}

/// Trains a host alone as `base`, then seeds on it as `run` with the host frozen; exports both, as `host` and
/// `adapter`.
fn prepare(home: &Path, settings: &str) {
    fs::write(home.join("run.toml"), format!("epochs = 3\ndevice = \"cpu\"\n{settings}")).unwrap();
    must(home, &["train", "--config", "run.toml", "--no-seeds", "--out", "base"]);
    must(home, &["export", "base", "--to", "host"]);
    let frozen = ["train", "--config", "run.toml", "--init-from", "host", "--freeze-host", "--out", "run"];
    must(home, &frozen);
    must(home, &["export", "run", "--adapter", "--to", "adapter"]);
}

/// The addition task with `lora` in two slots, of different rank than by default.
const LORA: &str = "task = \"addition\"\nslots = [\"mid\", \"late\"]\nblueprint_config = { rank = 3, alpha = 5.0 }\n\
    blueprint = \"lora\"\npreinstalled = [{ slot = \"mid\", blueprint = \"lora\" }, { slot = \"late\", blueprint = \"lora\" }]\n\
    [data]\ntrain_samples = 512\nvalidation_samples = 64\n[host]\nid = \"transformer\"\nconfig = { n_layer = 3 }\n";
/// The digits task with a blend that is no part of PEFT.
const CONV: &str = "task = \"digits\"\nslots = [\"mid\", \"late\"]\nblend = \"gated\"\n\
    preinstalled = [{ slot = \"mid\", blueprint = \"conv_light\" }, { slot = \"late\", blueprint = \"norm\" }]\n\
    [data]\ntrain_samples = 512\nvalidation_samples = 64\n";

fn forward(source: &Source, registry: &Registry, x: &Tensor) -> Tensor {
    Network::of(source, registry, Device::Cpu).unwrap().forward(x).unwrap()
}

/// The host is found in any place that has its weights.
#[test]
fn an_adapter_on_its_host_computes_what_the_run_computes() {
    let registry = registry(&[]);
    for (settings, x) in [
        (LORA, Tensor::randint(10, [4, 9], (Kind::Int64, Device::Cpu))),
        (CONV, Tensor::randn([4, 1, 8, 8], (Kind::Float, Device::Cpu))),
    ] {
        let home = tempfile::tempdir().unwrap();
        prepare(home.path(), settings);
        let at = |name: &str| home.path().join(name);
        let wanted = forward(&Source::open(&at("run"), Choice::Last).unwrap(), &registry, &x);
        assert_ne!(wanted, forward(&Source::open(&at("host"), Choice::Last).unwrap(), &registry, &x));
        for host in ["base", "host", "host/model.safetensors", "run"] {
            let source = Source::open_onto(&at("adapter"), &at(host)).unwrap();
            assert_eq!(wanted, forward(&source, &registry, &x), "{host}");
        }
        let eval = |arguments: &[&str]| must(home.path(), &[&["eval"], arguments].concat());
        assert_eq!(
            eval(&["adapter", "--onto", "host"]),
            eval(&["run"]).lines().next().unwrap().to_owned() + "\n"
        );
    }
}

/// A tensor that is no seed's cannot replace one of the host.
#[test]
fn an_adapter_brings_no_weights_of_the_host() {
    let home = tempfile::tempdir().unwrap();
    prepare(home.path(), CONV);
    let file = home.path().join("adapter/adapter_model.safetensors");
    let mut tensors = Tensor::read_safetensors(&file).unwrap();
    tensors.push(("host.head.bias".to_owned(), Tensor::ones([10], (Kind::Float, Device::Cpu))));
    Tensor::write_safetensors(&tensors, &file).unwrap();
    let error = Source::open_onto(&home.path().join("adapter"), &home.path().join("host")).unwrap_err();
    assert!(
        error.to_string().ends_with("it contains `host.head.bias`, which is no weight of its seeds"),
        "{error}"
    );
}

/// PEFT loads the adapter, computes the same, and saves a changed one, which Kasmina loads again.
#[test]
fn an_adapter_goes_to_peft_and_back() {
    let Some(mut python) = python("an_adapter_goes_to_peft_and_back") else { return };
    let registry = registry(&[]);
    let home = tempfile::tempdir().unwrap();
    prepare(home.path(), LORA);
    let at = |name: &str| home.path().join(name);
    let x = Tensor::randint(10, [4, 9], (Kind::Int64, Device::Cpu));
    let y = forward(&Source::open(&at("run"), Choice::Last).unwrap(), &registry, &x);
    Tensor::write_safetensors(&[("x", &x), ("y", &y)], at("io.safetensors")).unwrap();
    fs::create_dir(at("back")).unwrap();
    fs::copy(at("adapter/config.json"), at("back/config.json")).unwrap();
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/export/adapter.py")).arg(home.path());
    let out = python.env("HOME", home.path()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let back = Source::open_onto(&at("back"), &at("host")).unwrap();
    let found = forward(&back, &registry, &x);
    let written = Tensor::read_safetensors(at("changed.safetensors")).unwrap();
    let wanted = &written.iter().find(|(name, _)| name == "y").unwrap().1;
    let difference = ((found - wanted).abs().max() / wanted.abs().max()).double_value(&[]);
    let changed = ((wanted - &y).abs().max() / y.abs().max()).double_value(&[]);
    say(&format!(
        "to PEFT {}, back {difference:.1e}, changed by {changed:.1e}",
        String::from_utf8_lossy(&out.stdout).trim()
    ));
    assert!(difference <= 1e-5 && changed > 1e-3);
    // Another scale or kind of adapter is refused, not computed with the old one.
    let file = at("back/adapter_config.json");
    let saved: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let mut told = String::new();
    for (name, value) in [
        ("use_rslora", true.into()),
        ("use_dora", true.into()),
        ("bias", "all".into()),
        ("alpha_pattern", serde_json::json!({ "slots.block1": 16 })),
        ("rank_pattern", serde_json::json!({ "slots.block1": 4 })),
    ] {
        let mut changed = saved.clone();
        changed[name] = value;
        fs::write(&file, changed.to_string()).unwrap();
        let error = Source::open_onto(&at("back"), &at("host")).unwrap_err().to_string();
        told.push_str(&format!("{}\n", error.rsplit_once("adapter_config.json: ").unwrap().1));
    }
    insta::assert_snapshot!(told);
}

#[test]
fn each_refusal_of_an_adapter_is_one_message() {
    let home = tempfile::tempdir().unwrap();
    prepare(home.path(), CONV);
    must(home.path(), &["train", "--config", "run.toml", "--seed", "2", "--out", "other"]);
    must(home.path(), &["export", "base", "--to", "script", "--format", "torchscript"]);
    let mut told = String::new();
    for arguments in [
        ["eval", "adapter"].as_slice(),
        &["eval", "adapter", "--onto", "other"],
        &["eval", "adapter", "--onto", "missing"],
        &["eval", "host", "--onto", "base"],
        &["eval", "run", "--onto", "base"],
        &["eval", "script", "--onto", "base"],
        &["export", "base", "--adapter", "--to", "out"],
        &["export", "run", "--adapter", "--format", "pytorch", "--to", "out"],
        &["predict", "adapter", "--input", "x.png"],
    ] {
        let mut command = kasmina(home.path());
        command.args(arguments);
        let (stdout, stderr, code) = output(command);
        assert!(code != Some(0) && stdout.is_empty(), "{arguments:?}");
        told.push_str(&format!("$ kasmina {}\n{stderr}\n", arguments.join(" ")));
    }
    assert!(!home.path().join("out").exists());
    insta::assert_snapshot!(told);
}
